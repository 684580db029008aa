// The bitmap that the kernel reports dirty pages in: IOMMU_HWPT_GET_DIRTY_BITMAP and
// VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT.
//
// The kernel is told no size: it sets the bit at (iova - start) >> log2(page_size), for any IOVA of the
// range, and reads and writes whole words (drivers/iommu/iommufd/iova_bitmap.c). The kernel takes the lowest
// set bit of a page size that is not a power of two, and takes a length of 0 for 2^64 bytes. So both are
// refused here, and the size follows from what is left.

#pragma once

#include <napi.h>

#include <cstdint>

// The bitmap is made as the buffer that JavaScript gets, before the kernel is asked. So it is filled once and
// never copied. JavaScript does not see it before the call has ended, so nothing moves or frees what the
// kernel writes to.
class DirtyBitmap {
 public:
  // A bitmap for `length` bytes, with a bit for each page. Throws a RangeError if a number is invalid, or if
  // the bitmap needs more than 1 GiB.
  DirtyBitmap(Napi::Value length, Napi::Value page_size);

  uint64_t length() const { return length_; }
  uint64_t page_size() const { return page_size_; }

  // Makes it, zeroed, because the kernel only sets bits. Returns where that is; 0 where there is not so much
  // memory.
  uint64_t Make(Napi::Env env);

  // The bitmap that the kernel wrote: a bit a page, the lowest first.
  Napi::Value Result() const { return bitmap_.Value(); }

 private:
  const uint64_t length_;
  const uint64_t page_size_;
  Napi::Reference<Napi::Uint8Array> bitmap_;
};
