// The bitmap that the kernel reports dirty pages in: IOMMU_HWPT_GET_DIRTY_BITMAP and
// VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT.
//
// The kernel is told no size: it sets the bit at (iova - start) >> log2(page_size), for any IOVA of the
// range, and reads and writes whole words (drivers/iommu/iommufd/iova_bitmap.c). Of a page size that is no
// power of two it takes the lowest set bit, and a length of 0 is 2^64 to it. So both are refused here, and
// the size follows from what is left.

#pragma once

#include <napi.h>

#include <cstdint>
#include <vector>

class DirtyBitmap {
 public:
  // Of `length` bytes with a bit for each page; throws a RangeError where that is no sound question, or needs
  // more than 1 GiB.
  DirtyBitmap(Napi::Value length, Napi::Value page_size);

  uint64_t length() const { return length_; }
  uint64_t page_size() const { return page_size_; }

  // Where the kernel writes to; zeroed, because it only sets bits. Made when it is asked for.
  uint64_t Address();

  // What the kernel wrote: a bit a page, the lowest first.
  Napi::Value Result(Napi::Env env) const;

 private:
  const uint64_t length_;
  const uint64_t page_size_;
  std::vector<uint64_t> words_;
};
