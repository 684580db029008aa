// The C side of the benchmarks: the same calls in a plain loop. Prints nanoseconds per operation.
//
//   c-loop refused COUNT                        IOMMU_DESTROY on /dev/null, which knows no ioctl
//   c-loop map LENGTH COUNT CDEV                map and unmap LENGTH bytes, one after the other
//   c-loop batch LENGTH COUNT CDEV              map COUNT ranges of LENGTH bytes, then unmap them
//   c-loop hw-info COUNT CDEV                   IOMMU_GET_HW_INFO
//   c-loop dirty IOMMUFD HWPT IOVA LENGTH COUNT IOMMU_HWPT_GET_DIRTY_BITMAP in pages of 4 KiB, on an
//   inherited
//                                               descriptor

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../native/uapi/iommufd.h"
#include "../native/uapi/vfio.h"

namespace {

constexpr uint32_t kFixedReadWrite = 7;

[[noreturn]] void Fail(const char* what) {
  perror(what);
  exit(1);
}

int Open(const char* path) {
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) Fail(path);
  return fd;
}

// Calls work(i) count times and prints the time of each.
template <typename Work>
void Measure(long count, Work work) {
  const auto start = std::chrono::steady_clock::now();
  for (long i = 0; i < count; i++) work(i);
  const std::chrono::duration<double, std::nano> elapsed = std::chrono::steady_clock::now() - start;
  printf("%.1f\n", elapsed.count() / static_cast<double>(count));
}

struct Attached {
  int iommufd;
  uint32_t device_id;
  uint32_t ioas_id;
};

Attached Attach(const char* cdev) {
  const int iommufd = Open("/dev/iommu");
  const int device = Open(cdev);
  uapi::vfio_device_bind_iommufd bind = {};
  bind.argsz = sizeof(bind);
  bind.iommufd = iommufd;
  if (ioctl(device, uapi::VFIO_DEVICE_BIND_IOMMUFD, &bind) < 0) Fail("VFIO_DEVICE_BIND_IOMMUFD");
  uapi::iommu_ioas_alloc alloc = {};
  alloc.size = sizeof(alloc);
  if (ioctl(iommufd, uapi::IOMMU_IOAS_ALLOC, &alloc) < 0) Fail("IOMMU_IOAS_ALLOC");
  uapi::vfio_device_attach_iommufd_pt attach = {};
  attach.argsz = sizeof(attach);
  attach.pt_id = alloc.out_ioas_id;
  if (ioctl(device, uapi::VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) < 0) Fail("VFIO_DEVICE_ATTACH_IOMMUFD_PT");
  return {iommufd, bind.out_devid, alloc.out_ioas_id};
}

uintptr_t Memory(size_t length) {
  const int fd = memfd_create("c-loop", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, static_cast<off_t>(length)) < 0) Fail("memfd");
  void* address = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (address == MAP_FAILED) Fail("mmap");
  return reinterpret_cast<uintptr_t>(address);
}

void Map(const Attached& attached, uintptr_t address, uint64_t iova, uint64_t length) {
  uapi::iommu_ioas_map map = {};
  map.size = sizeof(map);
  map.flags = kFixedReadWrite;
  map.ioas_id = attached.ioas_id;
  map.user_va = address;
  map.length = length;
  map.iova = iova;
  if (ioctl(attached.iommufd, uapi::IOMMU_IOAS_MAP, &map) < 0) Fail("IOMMU_IOAS_MAP");
}

void Unmap(const Attached& attached, uint64_t iova, uint64_t length) {
  uapi::iommu_ioas_unmap unmap = {};
  unmap.size = sizeof(unmap);
  unmap.ioas_id = attached.ioas_id;
  unmap.iova = iova;
  unmap.length = length;
  if (ioctl(attached.iommufd, uapi::IOMMU_IOAS_UNMAP, &unmap) < 0) Fail("IOMMU_IOAS_UNMAP");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && strcmp(argv[1], "refused") == 0) {
    const int fd = Open("/dev/null");
    Measure(atol(argv[2]), [fd](long) {
      uapi::iommu_destroy destroy = {};
      destroy.size = sizeof(destroy);
      destroy.id = 1;
      if (ioctl(fd, uapi::IOMMU_DESTROY, &destroy) == 0) abort();
    });
  } else if (argc == 5 && strcmp(argv[1], "map") == 0) {
    const uint64_t length = strtoull(argv[2], nullptr, 0);
    const uintptr_t address = Memory(length);
    const Attached attached = Attach(argv[4]);
    Measure(atol(argv[3]), [&](long) {
      Map(attached, address, 0, length);
      Unmap(attached, 0, length);
    });
  } else if (argc == 5 && strcmp(argv[1], "batch") == 0) {
    const uint64_t length = strtoull(argv[2], nullptr, 0);
    const long count = atol(argv[3]);
    const uintptr_t address = Memory(length * static_cast<uint64_t>(count));
    const Attached attached = Attach(argv[4]);
    const auto start = std::chrono::steady_clock::now();
    for (long i = 0; i < count; i++) {
      const uint64_t offset = static_cast<uint64_t>(i) * length;
      Map(attached, address + offset, offset, length);
    }
    for (long i = 0; i < count; i++) Unmap(attached, static_cast<uint64_t>(i) * length, length);
    const std::chrono::duration<double, std::nano> elapsed = std::chrono::steady_clock::now() - start;
    printf("%.1f\n", elapsed.count() / static_cast<double>(count));
  } else if (argc == 4 && strcmp(argv[1], "hw-info") == 0) {
    const Attached attached = Attach(argv[3]);
    Measure(atol(argv[2]), [&](long) {
      uint8_t data[256];
      uapi::iommu_hw_info info = {};
      info.size = sizeof(info);
      info.dev_id = attached.device_id;
      info.data_len = sizeof(data);
      info.data_uptr = reinterpret_cast<uintptr_t>(data);
      if (ioctl(attached.iommufd, uapi::IOMMU_GET_HW_INFO, &info) < 0) Fail("IOMMU_GET_HW_INFO");
    });
  } else if (argc == 7 && strcmp(argv[1], "dirty") == 0) {
    uapi::iommu_hwpt_get_dirty_bitmap get = {};
    get.size = sizeof(get);
    get.hwpt_id = static_cast<uint32_t>(atol(argv[3]));
    get.iova = strtoull(argv[4], nullptr, 0);
    get.length = strtoull(argv[5], nullptr, 0);
    get.page_size = 4096;
    const size_t size = get.length / get.page_size / 8;
    void* bitmap = malloc(size);
    get.data = reinterpret_cast<uintptr_t>(bitmap);
    Measure(atol(argv[6]), [&](long) {
      memset(bitmap, 0, size);
      if (ioctl(atoi(argv[2]), uapi::IOMMU_HWPT_GET_DIRTY_BITMAP, &get) < 0)
        Fail("IOMMU_HWPT_GET_DIRTY_BITMAP");
    });
  } else {
    fprintf(stderr, "usage: see c-loop.cc\n");
    return 2;
  }
}
