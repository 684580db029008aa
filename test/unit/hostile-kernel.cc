// A kernel that writes as far as any kernel may. It is preloaded under the addon (LD_PRELOAD), and answers
// the ioctls of iommufd and VFIO with success. It reads everything that a pointer leads to, and fills
// everything that the rules of the user API let it fill. With AddressSanitizer in it, it reports each write
// beyond the memory that the addon has set aside.
//
// The limits come from drivers/iommu/iommufd and drivers/vfio. A structure is as long as it says. A buffer
// behind a pointer is as long as the length beside the pointer. The length of a bitmap follows from the
// range.

#include <dlfcn.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstring>

#include "../../native/uapi/iommufd.h"
#include "../../native/uapi/vfio.h"

namespace {

template <typename Structure>
Structure& At(void* address) {
  return *static_cast<Structure*>(address);
}

void Read(uint64_t address, uint64_t length) {
  volatile uint8_t sum = 0;
  for (uint64_t i = 0; i < length; i++) sum = sum ^ reinterpret_cast<const uint8_t*>(address)[i];
}

void Fill(uint64_t address, uint64_t length) { std::memset(reinterpret_cast<void*>(address), 0xff, length); }

// iova_bitmap_alloc(), iova_bitmap_set(): whole words of a bit for each page, whose size is the lowest set
// bit.
void FillBitmap(uint64_t address, uint64_t length, uint64_t page_size) {
  const uint64_t bits = ((length - 1) >> __builtin_ctzll(page_size)) + 1;
  Fill(address, std::min<uint64_t>((bits + 63) / 64 * 8, uint64_t{1} << 32));
}

int Refuse(int error) {
  errno = error;
  return -1;
}

int Iommufd(unsigned long request, void* argument) {
  const uint32_t size = At<uint32_t>(argument);
  Read(reinterpret_cast<uintptr_t>(argument), size);
  switch (request) {
    case uapi::IOMMU_IOAS_IOVA_RANGES: {
      auto& command = At<uapi::iommu_ioas_iova_ranges>(argument);
      Fill(command.allowed_iovas, command.num_iovas * sizeof(uapi::iommu_iova_range));
      if (command.num_iovas >= 100) return 0;
      command.num_iovas = 100;
      return Refuse(EMSGSIZE);
    }
    case uapi::IOMMU_IOAS_ALLOW_IOVAS: {
      auto& command = At<uapi::iommu_ioas_allow_iovas>(argument);
      Read(command.allowed_iovas, command.num_iovas * sizeof(uapi::iommu_iova_range));
      return 0;
    }
    case uapi::IOMMU_GET_HW_INFO: {
      auto& command = At<uapi::iommu_hw_info>(argument);
      Fill(command.data_uptr, command.data_len);
      command.data_len = 1u << 20;
      return 0;
    }
    case uapi::IOMMU_HWPT_ALLOC: {
      auto& command = At<uapi::iommu_hwpt_alloc>(argument);
      Read(command.data_uptr, command.data_len);
      return 0;
    }
    case uapi::IOMMU_HWPT_INVALIDATE: {
      auto& command = At<uapi::iommu_hwpt_invalidate>(argument);
      Read(command.data_uptr, uint64_t{command.entry_len} * command.entry_num);
      return 0;
    }
    case uapi::IOMMU_HWPT_GET_DIRTY_BITMAP: {
      auto& command = At<uapi::iommu_hwpt_get_dirty_bitmap>(argument);
      const uint64_t mask = command.page_size - 1;
      if (command.page_size == 0 || (command.iova & mask) != 0 ||
          ((command.iova + command.length) & mask) != 0)
        return Refuse(EINVAL);
      FillBitmap(command.data, command.length, command.page_size);
      return 0;
    }
    case uapi::IOMMU_VIOMMU_ALLOC: {
      auto& command = At<uapi::iommu_viommu_alloc>(argument);
      Fill(command.data_uptr, command.data_len);
      return 0;
    }
    default:
      return 0;
  }
}

int Feature(void* argument) {
  const auto header = At<uapi::vfio_device_feature>(argument);
  auto* const data = static_cast<uint8_t*>(argument) + sizeof(header);
  const uint32_t length = header.argsz - sizeof(header);
  Read(reinterpret_cast<uintptr_t>(data), length);
  if ((header.flags & uapi::VFIO_DEVICE_FEATURE_PROBE) != 0) return 0;
  switch (header.flags & uapi::VFIO_DEVICE_FEATURE_MASK) {
    case uapi::VFIO_DEVICE_FEATURE_DMA_LOGGING_START: {
      const auto request = At<uapi::vfio_device_feature_dma_logging_control>(data);
      Read(request.ranges, request.num_ranges * sizeof(uapi::vfio_device_feature_dma_logging_range));
      return 0;
    }
    case uapi::VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT: {
      const auto request = At<uapi::vfio_device_feature_dma_logging_report>(data);
      FillBitmap(request.bitmap, request.length, request.page_size);
      return 0;
    }
    case uapi::VFIO_DEVICE_FEATURE_DMA_BUF: {
      const auto request = At<uapi::vfio_device_feature_dma_buf>(data);
      Read(reinterpret_cast<uintptr_t>(data) + sizeof(request),
           request.nr_ranges * sizeof(uapi::vfio_region_dma_range));
      return Refuse(ENODEV);
    }
    default:
      Fill(reinterpret_cast<uintptr_t>(data), length);
      return 0;
  }
}

int Vfio(unsigned long request, void* argument) {
  if (request == uapi::VFIO_DEVICE_RESET) return 0;
  const uint32_t size = At<uint32_t>(argument);
  if (request == uapi::VFIO_DEVICE_FEATURE) return Feature(argument);
  Read(reinterpret_cast<uintptr_t>(argument), size);
  if (request == uapi::VFIO_DEVICE_SET_IRQS) return 0;
  Fill(reinterpret_cast<uintptr_t>(argument) + sizeof(size), size - sizeof(size));
  if (request == uapi::VFIO_DEVICE_GET_REGION_INFO && size < 4096) At<uint32_t>(argument) = 4096;
  return 0;
}

}  // namespace

extern "C" int ioctl(int fd, unsigned long request, ...) {
  va_list list;
  va_start(list, request);
  void* argument = va_arg(list, void*);
  va_end(list);
  struct stat status;
  // Descriptors of /dev/null, which stands for both kinds of files here.
  if (_IOC_TYPE(request) == uapi::kVfioType && fstat(fd, &status) == 0 && status.st_rdev == makedev(1, 3)) {
    return _IOC_NR(request) >= 0x80 ? Iommufd(request, argument) : Vfio(request, argument);
  }
  static const auto next = reinterpret_cast<int (*)(int, unsigned long, ...)>(dlsym(RTLD_NEXT, "ioctl"));
  return next(fd, request, argument);
}
