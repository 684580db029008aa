// The part of the iommufd user API that this addon issues.
//
// Debian 12's headers have no <linux/iommufd.h>, so the structures are defined here. The layout is the
// kernel's ABI and never changes for a given field; test/unit/uapi.test.ts compares it with the kernel's own
// header where one is installed. Names are the kernel's, so that they can be looked up there.

#pragma once

#include <linux/ioctl.h>

#include <cstddef>
#include <cstdint>

namespace uapi {

constexpr unsigned int kIommufdType = ';';

// Every structure starts with its own size, which is how the kernel tells versions apart.

struct iommu_destroy {
  uint32_t size;
  uint32_t id;
};
static_assert(sizeof(iommu_destroy) == 8);

struct iommu_ioas_alloc {
  uint32_t size;
  uint32_t flags;
  uint32_t out_ioas_id;
};
static_assert(sizeof(iommu_ioas_alloc) == 12);
static_assert(offsetof(iommu_ioas_alloc, out_ioas_id) == 8);

struct iommu_iova_range {
  uint64_t start;
  uint64_t last;
};
static_assert(sizeof(iommu_iova_range) == 16);

struct iommu_ioas_iova_ranges {
  uint32_t size;
  uint32_t ioas_id;
  uint32_t num_iovas;
  uint32_t reserved;
  uint64_t allowed_iovas;
  uint64_t out_iova_alignment;
};
static_assert(sizeof(iommu_ioas_iova_ranges) == 32);
static_assert(offsetof(iommu_ioas_iova_ranges, allowed_iovas) == 16);

constexpr uint32_t IOMMU_IOAS_MAP_FIXED_IOVA = 1 << 0;

struct iommu_ioas_map {
  uint32_t size;
  uint32_t flags;
  uint32_t ioas_id;
  uint32_t reserved;
  uint64_t user_va;
  uint64_t length;
  uint64_t iova;
};
static_assert(sizeof(iommu_ioas_map) == 40);
static_assert(offsetof(iommu_ioas_map, user_va) == 16);
static_assert(offsetof(iommu_ioas_map, iova) == 32);

struct iommu_ioas_allow_iovas {
  uint32_t size;
  uint32_t ioas_id;
  uint32_t num_iovas;
  uint32_t reserved;
  uint64_t allowed_iovas;
};
static_assert(sizeof(iommu_ioas_allow_iovas) == 24);
static_assert(offsetof(iommu_ioas_allow_iovas, allowed_iovas) == 16);

struct iommu_ioas_map_file {
  uint32_t size;
  uint32_t flags;
  uint32_t ioas_id;
  int32_t fd;
  uint64_t start;
  uint64_t length;
  uint64_t iova;
};
static_assert(sizeof(iommu_ioas_map_file) == 40);
static_assert(offsetof(iommu_ioas_map_file, start) == 16);

struct iommu_ioas_copy {
  uint32_t size;
  uint32_t flags;
  uint32_t dst_ioas_id;
  uint32_t src_ioas_id;
  uint64_t length;
  uint64_t dst_iova;
  uint64_t src_iova;
};
static_assert(sizeof(iommu_ioas_copy) == 40);
static_assert(offsetof(iommu_ioas_copy, length) == 16);

struct iommu_ioas_unmap {
  uint32_t size;
  uint32_t ioas_id;
  uint64_t iova;
  uint64_t length;
};
static_assert(sizeof(iommu_ioas_unmap) == 24);

struct iommu_ioas_change_process {
  uint32_t size;
  uint32_t reserved;
};
static_assert(sizeof(iommu_ioas_change_process) == 8);

struct iommu_option {
  uint32_t size;
  uint32_t option_id;
  uint16_t op;
  uint16_t reserved;
  uint32_t object_id;
  uint64_t val64;
};
static_assert(sizeof(iommu_option) == 24);
static_assert(offsetof(iommu_option, object_id) == 12);
static_assert(offsetof(iommu_option, val64) == 16);

struct iommu_vfio_ioas {
  uint32_t size;
  uint32_t ioas_id;
  uint16_t op;
  uint16_t reserved;
};
static_assert(sizeof(iommu_vfio_ioas) == 12);

struct iommu_hwpt_alloc {
  uint32_t size;
  uint32_t flags;
  uint32_t dev_id;
  uint32_t pt_id;
  uint32_t out_hwpt_id;
  uint32_t reserved;
  uint32_t data_type;
  uint32_t data_len;
  uint64_t data_uptr;
  uint32_t fault_id;
  uint32_t reserved2;
};
static_assert(sizeof(iommu_hwpt_alloc) == 48);
static_assert(offsetof(iommu_hwpt_alloc, out_hwpt_id) == 16);
static_assert(offsetof(iommu_hwpt_alloc, data_uptr) == 32);
static_assert(offsetof(iommu_hwpt_alloc, fault_id) == 40);

constexpr uint32_t IOMMU_HW_INFO_FLAG_INPUT_TYPE = 1;

// out_data_type is also where a type is asked for; the kernel's structure has a union there.
struct iommu_hw_info {
  uint32_t size;
  uint32_t flags;
  uint32_t dev_id;
  uint32_t data_len;
  uint64_t data_uptr;
  uint32_t out_data_type;
  uint8_t out_max_pasid_log2;
  uint8_t reserved[3];
  uint64_t out_capabilities;
};
static_assert(sizeof(iommu_hw_info) == 40);
static_assert(offsetof(iommu_hw_info, out_data_type) == 24);
static_assert(offsetof(iommu_hw_info, out_max_pasid_log2) == 28);
static_assert(offsetof(iommu_hw_info, out_capabilities) == 32);

constexpr uint32_t IOMMU_HWPT_DIRTY_TRACKING_ENABLE = 1;

struct iommu_hwpt_set_dirty_tracking {
  uint32_t size;
  uint32_t flags;
  uint32_t hwpt_id;
  uint32_t reserved;
};
static_assert(sizeof(iommu_hwpt_set_dirty_tracking) == 16);

struct iommu_hwpt_get_dirty_bitmap {
  uint32_t size;
  uint32_t hwpt_id;
  uint32_t flags;
  uint32_t reserved;
  uint64_t iova;
  uint64_t length;
  uint64_t page_size;
  uint64_t data;
};
static_assert(sizeof(iommu_hwpt_get_dirty_bitmap) == 48);
static_assert(offsetof(iommu_hwpt_get_dirty_bitmap, iova) == 16);
static_assert(offsetof(iommu_hwpt_get_dirty_bitmap, data) == 40);

struct iommu_hwpt_invalidate {
  uint32_t size;
  uint32_t hwpt_id;
  uint64_t data_uptr;
  uint32_t data_type;
  uint32_t entry_len;
  uint32_t entry_num;
  uint32_t reserved;
};
static_assert(sizeof(iommu_hwpt_invalidate) == 32);
static_assert(offsetof(iommu_hwpt_invalidate, data_uptr) == 8);
static_assert(offsetof(iommu_hwpt_invalidate, entry_num) == 24);

struct iommu_fault_alloc {
  uint32_t size;
  uint32_t flags;
  uint32_t out_fault_id;
  uint32_t out_fault_fd;
};
static_assert(sizeof(iommu_fault_alloc) == 16);

constexpr uint32_t IOMMU_PGFAULT_FLAGS_PASID_VALID = 1u << 0;
constexpr uint32_t IOMMU_PGFAULT_FLAGS_LAST_PAGE = 1u << 1;

// A record that is read from a fault queue.
struct iommu_hwpt_pgfault {
  uint32_t flags;
  uint32_t dev_id;
  uint32_t pasid;
  uint32_t grpid;
  uint32_t perm;
  uint32_t reserved;
  uint64_t addr;
  uint32_t length;
  uint32_t cookie;
};
static_assert(sizeof(iommu_hwpt_pgfault) == 40);
static_assert(offsetof(iommu_hwpt_pgfault, addr) == 24);
static_assert(offsetof(iommu_hwpt_pgfault, cookie) == 36);

// A response that is written to a fault queue.
struct iommu_hwpt_page_response {
  uint32_t cookie;
  uint32_t code;
};
static_assert(sizeof(iommu_hwpt_page_response) == 8);

struct iommu_viommu_alloc {
  uint32_t size;
  uint32_t flags;
  uint32_t type;
  uint32_t dev_id;
  uint32_t hwpt_id;
  uint32_t out_viommu_id;
  uint32_t data_len;
  uint32_t reserved;
  uint64_t data_uptr;
};
static_assert(sizeof(iommu_viommu_alloc) == 40);
static_assert(offsetof(iommu_viommu_alloc, out_viommu_id) == 20);
static_assert(offsetof(iommu_viommu_alloc, data_uptr) == 32);

struct iommu_vdevice_alloc {
  uint32_t size;
  uint32_t viommu_id;
  uint32_t dev_id;
  uint32_t out_vdevice_id;
  uint64_t virt_id;
};
static_assert(sizeof(iommu_vdevice_alloc) == 24);
static_assert(offsetof(iommu_vdevice_alloc, virt_id) == 16);

struct iommu_veventq_alloc {
  uint32_t size;
  uint32_t flags;
  uint32_t viommu_id;
  uint32_t type;
  uint32_t veventq_depth;
  uint32_t out_veventq_id;
  uint32_t out_veventq_fd;
  uint32_t reserved;
};
static_assert(sizeof(iommu_veventq_alloc) == 32);

constexpr uint32_t IOMMU_VEVENTQ_FLAG_LOST_EVENTS = 1;

// The header that is read from a vEVENTQ, before the data of the event.
struct iommufd_vevent_header {
  uint32_t flags;
  uint32_t sequence;
};
static_assert(sizeof(iommufd_vevent_header) == 8);

struct iommu_hw_queue_alloc {
  uint32_t size;
  uint32_t flags;
  uint32_t viommu_id;
  uint32_t type;
  uint32_t index;
  uint32_t out_hw_queue_id;
  uint64_t nesting_parent_iova;
  uint64_t length;
};
static_assert(sizeof(iommu_hw_queue_alloc) == 40);
static_assert(offsetof(iommu_hw_queue_alloc, nesting_parent_iova) == 24);

// Requests carry no size or direction: the kernel defines them with _IO.
constexpr unsigned long IOMMU_DESTROY = _IO(kIommufdType, 0x80);
constexpr unsigned long IOMMU_IOAS_ALLOC = _IO(kIommufdType, 0x81);
constexpr unsigned long IOMMU_IOAS_ALLOW_IOVAS = _IO(kIommufdType, 0x82);
constexpr unsigned long IOMMU_IOAS_COPY = _IO(kIommufdType, 0x83);
constexpr unsigned long IOMMU_IOAS_IOVA_RANGES = _IO(kIommufdType, 0x84);
constexpr unsigned long IOMMU_IOAS_MAP = _IO(kIommufdType, 0x85);
constexpr unsigned long IOMMU_IOAS_UNMAP = _IO(kIommufdType, 0x86);
constexpr unsigned long IOMMU_OPTION = _IO(kIommufdType, 0x87);
constexpr unsigned long IOMMU_VFIO_IOAS = _IO(kIommufdType, 0x88);
constexpr unsigned long IOMMU_HWPT_ALLOC = _IO(kIommufdType, 0x89);
constexpr unsigned long IOMMU_GET_HW_INFO = _IO(kIommufdType, 0x8a);
constexpr unsigned long IOMMU_HWPT_SET_DIRTY_TRACKING = _IO(kIommufdType, 0x8b);
constexpr unsigned long IOMMU_HWPT_GET_DIRTY_BITMAP = _IO(kIommufdType, 0x8c);
constexpr unsigned long IOMMU_HWPT_INVALIDATE = _IO(kIommufdType, 0x8d);
constexpr unsigned long IOMMU_FAULT_QUEUE_ALLOC = _IO(kIommufdType, 0x8e);
constexpr unsigned long IOMMU_IOAS_MAP_FILE = _IO(kIommufdType, 0x8f);
constexpr unsigned long IOMMU_VIOMMU_ALLOC = _IO(kIommufdType, 0x90);
constexpr unsigned long IOMMU_VDEVICE_ALLOC = _IO(kIommufdType, 0x91);
constexpr unsigned long IOMMU_IOAS_CHANGE_PROCESS = _IO(kIommufdType, 0x92);
constexpr unsigned long IOMMU_VEVENTQ_ALLOC = _IO(kIommufdType, 0x93);
constexpr unsigned long IOMMU_HW_QUEUE_ALLOC = _IO(kIommufdType, 0x94);

}  // namespace uapi
