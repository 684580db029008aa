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

constexpr uint32_t IOMMU_HWPT_DATA_NONE = 0;
constexpr uint32_t IOMMU_HWPT_DATA_VTD_S1 = 1;

struct iommu_hwpt_vtd_s1 {
  uint64_t flags;
  uint64_t pgtbl_addr;
  uint32_t addr_width;
  uint32_t reserved;
};
static_assert(sizeof(iommu_hwpt_vtd_s1) == 24);
static_assert(offsetof(iommu_hwpt_vtd_s1, addr_width) == 16);

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
constexpr unsigned long IOMMU_IOAS_MAP_FILE = _IO(kIommufdType, 0x8f);
constexpr unsigned long IOMMU_IOAS_CHANGE_PROCESS = _IO(kIommufdType, 0x92);

}  // namespace uapi
