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

// The kernel has since appended a token pointer, used only with a flag that is not set here; argsz tells it.
struct vfio_device_bind_iommufd {
  uint32_t argsz;
  uint32_t flags;
  int32_t iommufd;
  uint32_t out_devid;
};
static_assert(sizeof(vfio_device_bind_iommufd) == 16);
static_assert(offsetof(vfio_device_bind_iommufd, out_devid) == 12);

// Later kernels append a PASID, used only with a flag that is not set here; argsz tells it.
struct vfio_device_attach_iommufd_pt {
  uint32_t argsz;
  uint32_t flags;
  uint32_t pt_id;
};
static_assert(sizeof(vfio_device_attach_iommufd_pt) == 12);

struct vfio_device_detach_iommufd_pt {
  uint32_t argsz;
  uint32_t flags;
};
static_assert(sizeof(vfio_device_detach_iommufd_pt) == 8);

constexpr unsigned long VFIO_DEVICE_GET_INFO = _IO(kVfioType, 100 + 7);
constexpr unsigned long VFIO_DEVICE_BIND_IOMMUFD = _IO(kVfioType, 100 + 18);
constexpr unsigned long VFIO_DEVICE_ATTACH_IOMMUFD_PT = _IO(kVfioType, 100 + 19);
constexpr unsigned long VFIO_DEVICE_DETACH_IOMMUFD_PT = _IO(kVfioType, 100 + 20);

}  // namespace uapi
