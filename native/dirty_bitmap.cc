#include "dirty_bitmap.h"

#include <sys/mman.h>

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

uint64_t DirtyBitmap::Make(Napi::Env env) {
  const uint64_t pages = Pages(length_, page_size_);
  const size_t bytes = static_cast<size_t>((pages - 1) / 8 + 1);
  // Whole words, which the kernel writes.
  const size_t room = static_cast<size_t>((pages - 1) / 64 + 1) * sizeof(uint64_t);
  // V8 ends the process where it gets no memory for an ArrayBuffer: so whether there is is asked before.
  void* const available = mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (available == MAP_FAILED) return 0;
  munmap(available, room);
  auto buffer = Napi::ArrayBuffer::New(env, room);
  bitmap_ = Napi::Persistent(Napi::Uint8Array::New(env, bytes, buffer, 0));
  return reinterpret_cast<uintptr_t>(buffer.Data());
}
