// The C side of the benches. It makes the same calls in plain loops. bench/compare.js loads it into the
// process of the bench. So both sides use the same descriptors, the same memory and the same page tables.
// Each function answers nanoseconds for one operation. A call that fails ends the process.

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "../native/uapi/iommufd.h"

namespace {

constexpr uint32_t kFixedReadWrite = 7;

[[noreturn]] void Fail(const char* what) {
  perror(what);
  exit(1);
}

// Calls work(i) count times.
template <typename Work>
double Measure(int64_t count, Work work) {
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < count; i++) work(static_cast<uint64_t>(i));
  const std::chrono::duration<double, std::nano> elapsed = std::chrono::steady_clock::now() - start;
  return elapsed.count() / static_cast<double>(count);
}

void Map(int iommufd, uint32_t ioas_id, const uint8_t* address, uint64_t iova, uint64_t length) {
  uapi::iommu_ioas_map map = {};
  map.size = sizeof(map);
  map.flags = kFixedReadWrite;
  map.ioas_id = ioas_id;
  map.user_va = reinterpret_cast<uintptr_t>(address);
  map.length = length;
  map.iova = iova;
  if (ioctl(iommufd, uapi::IOMMU_IOAS_MAP, &map) < 0) Fail("IOMMU_IOAS_MAP");
}

void Unmap(int iommufd, uint32_t ioas_id, uint64_t iova, uint64_t length) {
  uapi::iommu_ioas_unmap unmap = {};
  unmap.size = sizeof(unmap);
  unmap.ioas_id = ioas_id;
  unmap.iova = iova;
  unmap.length = length;
  if (ioctl(iommufd, uapi::IOMMU_IOAS_UNMAP, &unmap) < 0) Fail("IOMMU_IOAS_UNMAP");
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

// IOMMU_DESTROY of a file that knows no ioctl.
EXPORTED double Refused(int fd, int64_t count) {
  return Measure(count, [fd](uint64_t) {
    uapi::iommu_destroy destroy = {};
    destroy.size = sizeof(destroy);
    destroy.id = 1;
    if (ioctl(fd, uapi::IOMMU_DESTROY, &destroy) == 0) abort();
  });
}

// The same in a process with one thread, in which the kernel takes no reference to the file for a call.
EXPORTED double RefusedAlone(int fd, int64_t count) {
  int ends[2];
  if (pipe(ends) < 0) Fail("pipe");
  const pid_t child = fork();
  if (child < 0) Fail("fork");
  double result = 0;
  if (child == 0) {
    result = Refused(fd, count);
    _exit(write(ends[1], &result, sizeof(result)) == sizeof(result) ? 0 : 1);
  }
  if (read(ends[0], &result, sizeof(result)) != sizeof(result)) Fail("read");
  waitpid(child, nullptr, 0);
  close(ends[0]);
  close(ends[1]);
  return result;
}

// Maps and unmaps, one after the other, at 0.
EXPORTED double MapUnmap(int iommufd, uint32_t ioas_id, const uint8_t* address, uint64_t length,
                         int64_t count) {
  return Measure(count, [&](uint64_t) {
    Map(iommufd, ioas_id, address, 0, length);
    Unmap(iommufd, ioas_id, 0, length);
  });
}

// Maps `count` ranges of `length`, side by side, then unmaps them.
EXPORTED double MapThenUnmap(int iommufd, uint32_t ioas_id, const uint8_t* address, uint64_t length,
                             int64_t count) {
  return Measure(count,
                 [&](uint64_t i) { Map(iommufd, ioas_id, address + i * length, i * length, length); }) +
         Measure(count, [&](uint64_t i) { Unmap(iommufd, ioas_id, i * length, length); });
}

EXPORTED double GetHwInfo(int iommufd, uint32_t device_id, int64_t count) {
  return Measure(count, [&](uint64_t) {
    uint8_t data[256];
    uapi::iommu_hw_info info = {};
    info.size = sizeof(info);
    info.dev_id = device_id;
    info.data_len = sizeof(data);
    info.data_uptr = reinterpret_cast<uintptr_t>(data);
    if (ioctl(iommufd, uapi::IOMMU_GET_HW_INFO, &info) < 0) Fail("IOMMU_GET_HW_INFO");
  });
}

// A zeroed bitmap of its own each time, from the C library, as V8 makes an array. Nor is it freed in the
// time that is measured, as V8 frees an array later. The kernel only sets bits.
EXPORTED double GetDirtyBitmap(int iommufd, uint32_t hwpt_id, uint64_t iova, uint64_t length, int64_t count) {
  uapi::iommu_hwpt_get_dirty_bitmap get = {};
  get.size = sizeof(get);
  get.hwpt_id = hwpt_id;
  get.iova = iova;
  get.length = length;
  get.page_size = 4096;
  const size_t size = length / get.page_size / 8;
  std::vector<std::unique_ptr<void, decltype(&free)>> bitmaps;
  return Measure(count, [&](uint64_t) {
    void* const bitmap = calloc(1, size);
    if (bitmap == nullptr) Fail("calloc");
    bitmaps.emplace_back(bitmap, free);
    get.data = reinterpret_cast<uintptr_t>(bitmap);
    if (ioctl(iommufd, uapi::IOMMU_HWPT_GET_DIRTY_BITMAP, &get) < 0) Fail("IOMMU_HWPT_GET_DIRTY_BITMAP");
  });
}

namespace {

using Clock = std::chrono::steady_clock;

// When the last signal was given, and how many have been taken: one signaller at a time.
std::atomic<Clock::rep> signalled_at;
std::atomic<int64_t> taken;

struct Signals {
  int fd;
  int64_t count;
};

void* Signal(void* data) {
  auto* const signals = static_cast<Signals*>(data);
  for (int64_t i = 0; i < signals->count; i++) {
    // So long that whoever waits has gone to sleep, as one does who waits for a device.
    do usleep(100);
    while (taken < i);
    const uint64_t one = 1;
    signalled_at = Clock::now().time_since_epoch().count();
    if (write(signals->fd, &one, sizeof(one)) < 0) Fail("write");
  }
  delete signals;
  return nullptr;
}

}  // namespace

// Has a thread of its own signal an eventfd, again and again, each time after the last signal was taken.
EXPORTED void StartSignals(int fd, int64_t count) {
  taken = 0;
  pthread_t thread;
  if (pthread_create(&thread, nullptr, Signal, new Signals{fd, count}) != 0) abort();
  pthread_detach(thread);
}

// Takes a signal: the nanoseconds since it was given.
EXPORTED double TakeSignal() {
  const Clock::duration since = Clock::now().time_since_epoch() - Clock::duration(signalled_at);
  taken++;
  return std::chrono::duration<double, std::nano>(since).count();
}

// Takes signals by epoll. Answers the nanoseconds from each signal until it has been read.
EXPORTED void TakeSignals(int fd, int64_t count, double* nanoseconds) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event = {EPOLLIN, {}};
  if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) Fail("epoll");
  for (int64_t i = 0; i < count; i++) {
    if (epoll_wait(epoll, &event, 1, -1) != 1) Fail("epoll_wait");
    uint64_t value;
    if (read(fd, &value, sizeof(value)) < 0) Fail("read");
    nanoseconds[i] = TakeSignal();
  }
  close(epoll);
}

// Waits for what is there already, and takes it.
EXPORTED double WaitAndRead(int fd, int64_t count) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event = {EPOLLIN, {}};
  if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) Fail("epoll");
  const double result = Measure(count, [&](uint64_t) {
    uint64_t value = 1;
    if (write(fd, &value, sizeof(value)) < 0 || epoll_wait(epoll, &event, 1, -1) != 1 ||
        read(fd, &value, sizeof(value)) < 0)
      Fail("eventfd");
  });
  close(epoll);
  return result;
}
