#include "dirty_bitmap.h"

#include <cstring>

#include "arguments.h"

namespace {

constexpr uint64_t kMaxPages = uint64_t{1} << 33;

uint64_t Pages(uint64_t length, uint64_t page_size) { return (length - 1) / page_size + 1; }

}  // namespace

DirtyBitmap::DirtyBitmap(Napi::Value length, Napi::Value page_size)
    : length_(arguments::Uint64(length, "length")), page_size_(arguments::Uint64(page_size, "pageSize")) {
  if (page_size_ == 0 || (page_size_ & (page_size_ - 1)) != 0) {
    arguments::ThrowOutOfRange(page_size, "pageSize", "a power of two");
  }
  if (length_ == 0) arguments::ThrowOutOfRange(length, "length", "at least a page");
  if (Pages(length_, page_size_) > kMaxPages)
    arguments::ThrowOutOfRange(length, "length", "at most 2^33 pages");
}

uint64_t DirtyBitmap::Address() {
  words_.assign(static_cast<size_t>((Pages(length_, page_size_) - 1) / 64 + 1), 0);
  return reinterpret_cast<uintptr_t>(words_.data());
}

Napi::Value DirtyBitmap::Result(Napi::Env env) const {
  const size_t bytes = static_cast<size_t>((Pages(length_, page_size_) + 7) / 8);
  auto result = Napi::Uint8Array::New(env, bytes);
  std::memcpy(result.Data(), words_.data(), bytes);
  return result;
}
