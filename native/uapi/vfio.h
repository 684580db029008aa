// The part of the VFIO device (cdev) user API that this addon issues. See iommufd.h for why it is spelled
// out.

#pragma once

#include <linux/ioctl.h>

#include <cstddef>
#include <cstdint>

namespace uapi {

constexpr unsigned int kVfioType = ';';

// VFIO structures start with the size that the caller knows ("argsz"), then flags.

struct vfio_device_info {
  uint32_t argsz;
  uint32_t flags;
  uint32_t num_regions;
  uint32_t num_irqs;
  uint32_t cap_offset;
  uint32_t pad;
};
static_assert(sizeof(vfio_device_info) == 24);
static_assert(offsetof(vfio_device_info, cap_offset) == 16);

constexpr uint32_t VFIO_REGION_INFO_FLAG_CAPS = 1u << 3;

struct vfio_region_info {
  uint32_t argsz;
  uint32_t flags;
  uint32_t index;
  uint32_t cap_offset;
  uint64_t size;
  uint64_t offset;
};
static_assert(sizeof(vfio_region_info) == 32);
static_assert(offsetof(vfio_region_info, size) == 16);

// Capabilities follow the structure, each with the offset of the next from its start; 0 ends the list.
struct vfio_info_cap_header {
  uint16_t id;
  uint16_t version;
  uint32_t next;
};
static_assert(sizeof(vfio_info_cap_header) == 8);

constexpr uint16_t VFIO_REGION_INFO_CAP_SPARSE_MMAP = 1;
constexpr uint16_t VFIO_REGION_INFO_CAP_TYPE = 2;
constexpr uint16_t VFIO_REGION_INFO_CAP_MSIX_MAPPABLE = 3;

struct vfio_region_sparse_mmap_area {
  uint64_t offset;
  uint64_t size;
};
static_assert(sizeof(vfio_region_sparse_mmap_area) == 16);

struct vfio_region_info_cap_sparse_mmap {
  vfio_info_cap_header header;
  uint32_t nr_areas;
  uint32_t reserved;
};
static_assert(sizeof(vfio_region_info_cap_sparse_mmap) == 16);

struct vfio_region_info_cap_type {
  vfio_info_cap_header header;
  uint32_t type;
  uint32_t subtype;
};
static_assert(sizeof(vfio_region_info_cap_type) == 16);

struct vfio_irq_info {
  uint32_t argsz;
  uint32_t flags;
  uint32_t index;
  uint32_t count;
};
static_assert(sizeof(vfio_irq_info) == 16);

constexpr uint32_t VFIO_IRQ_SET_DATA_NONE = 1u << 0;
constexpr uint32_t VFIO_IRQ_SET_DATA_EVENTFD = 1u << 2;
constexpr uint32_t VFIO_IRQ_SET_ACTION_MASK = 1u << 3;
constexpr uint32_t VFIO_IRQ_SET_ACTION_UNMASK = 1u << 4;
constexpr uint32_t VFIO_IRQ_SET_ACTION_TRIGGER = 1u << 5;

// Descriptors follow, one for each of the interrupts from start on.
struct vfio_irq_set {
  uint32_t argsz;
  uint32_t flags;
  uint32_t index;
  uint32_t start;
  uint32_t count;
};
static_assert(sizeof(vfio_irq_set) == 20);

struct vfio_device_feature {
  uint32_t argsz;
  uint32_t flags;
};
static_assert(sizeof(vfio_device_feature) == 8);

constexpr uint32_t VFIO_DEVICE_FEATURE_MASK = 0xffff;
constexpr uint32_t VFIO_DEVICE_FEATURE_GET = 1u << 16;
constexpr uint32_t VFIO_DEVICE_FEATURE_SET = 1u << 17;
constexpr uint32_t VFIO_DEVICE_FEATURE_PROBE = 1u << 18;

constexpr uint32_t VFIO_DEVICE_FEATURE_PCI_VF_TOKEN = 0;
constexpr uint32_t VFIO_DEVICE_FEATURE_MIGRATION = 1;
constexpr uint32_t VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY = 3;
constexpr uint32_t VFIO_DEVICE_FEATURE_LOW_POWER_EXIT = 5;
constexpr uint32_t VFIO_DEVICE_FEATURE_DMA_LOGGING_START = 6;
constexpr uint32_t VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP = 7;
constexpr uint32_t VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT = 8;
constexpr uint32_t VFIO_DEVICE_FEATURE_MIG_DATA_SIZE = 9;
constexpr uint32_t VFIO_DEVICE_FEATURE_BUS_MASTER = 10;
constexpr uint32_t VFIO_DEVICE_FEATURE_DMA_BUF = 11;

struct vfio_device_feature_dma_logging_control {
  uint64_t page_size;
  uint32_t num_ranges;
  uint32_t reserved;
  uint64_t ranges;
};
static_assert(sizeof(vfio_device_feature_dma_logging_control) == 24);

struct vfio_device_feature_dma_logging_range {
  uint64_t iova;
  uint64_t length;
};
static_assert(sizeof(vfio_device_feature_dma_logging_range) == 16);

struct vfio_device_feature_dma_logging_report {
  uint64_t iova;
  uint64_t length;
  uint64_t page_size;
  uint64_t bitmap;
};
static_assert(sizeof(vfio_device_feature_dma_logging_report) == 32);

// Ranges follow.
struct vfio_device_feature_dma_buf {
  uint32_t region_index;
  uint32_t open_flags;
  uint32_t flags;
  uint32_t nr_ranges;
};
static_assert(sizeof(vfio_device_feature_dma_buf) == 16);

struct vfio_region_dma_range {
  uint64_t offset;
  uint64_t length;
};
static_assert(sizeof(vfio_region_dma_range) == 16);

// The kernel has since appended a token pointer, used only with a flag that is not set here; argsz shows its
// size.
struct vfio_device_bind_iommufd {
  uint32_t argsz;
  uint32_t flags;
  int32_t iommufd;
  uint32_t out_devid;
};
static_assert(sizeof(vfio_device_bind_iommufd) == 16);
static_assert(offsetof(vfio_device_bind_iommufd, out_devid) == 12);

constexpr uint32_t VFIO_DEVICE_ATTACH_PASID = 1;

// Linux 6.12 has no PASID in these two, and takes what is longer.
struct vfio_device_attach_iommufd_pt {
  uint32_t argsz;
  uint32_t flags;
  uint32_t pt_id;
  uint32_t pasid;
};
static_assert(sizeof(vfio_device_attach_iommufd_pt) == 16);

constexpr uint32_t VFIO_DEVICE_DETACH_PASID = 1;

struct vfio_device_detach_iommufd_pt {
  uint32_t argsz;
  uint32_t flags;
  uint32_t pasid;
};
static_assert(sizeof(vfio_device_detach_iommufd_pt) == 12);

constexpr unsigned long VFIO_DEVICE_GET_INFO = _IO(kVfioType, 100 + 7);
constexpr unsigned long VFIO_DEVICE_GET_REGION_INFO = _IO(kVfioType, 100 + 8);
constexpr unsigned long VFIO_DEVICE_GET_IRQ_INFO = _IO(kVfioType, 100 + 9);
constexpr unsigned long VFIO_DEVICE_SET_IRQS = _IO(kVfioType, 100 + 10);
constexpr unsigned long VFIO_DEVICE_RESET = _IO(kVfioType, 100 + 11);
constexpr unsigned long VFIO_DEVICE_FEATURE = _IO(kVfioType, 100 + 17);
constexpr unsigned long VFIO_DEVICE_BIND_IOMMUFD = _IO(kVfioType, 100 + 18);
constexpr unsigned long VFIO_DEVICE_ATTACH_IOMMUFD_PT = _IO(kVfioType, 100 + 19);
constexpr unsigned long VFIO_DEVICE_DETACH_IOMMUFD_PT = _IO(kVfioType, 100 + 20);

}  // namespace uapi
