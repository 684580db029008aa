// Mapped pages that JavaScript sees as an ArrayBuffer: memory for DMA, memfd-backed, or a region of a device.

#pragma once

#include <napi.h>
#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <memory>

#include "descriptor.h"
#include "handle.h"

// A range of addresses of this process. It is given back with the last owner.
class AddressRange {
 public:
  AddressRange(void* address, size_t length) : address_(address), length_(length) {}
  ~AddressRange();
  AddressRange(const AddressRange&) = delete;
  AddressRange& operator=(const AddressRange&) = delete;

  void* address() const { return address_; }
  size_t length() const { return length_; }

 private:
  void* const address_;
  const size_t length_;
};

// Pages behind a range of addresses. They go away with the last owner: the JavaScript object, an ArrayBuffer
// on them, or a running call. The range may be owned for longer: then there is other, empty memory behind it.
class Pages {
 public:
  // New memory: a memfd, or anonymous. Pages of a size other than the usual one are huge pages, which the
  // machine must have set aside. Returns 0 or -errno.
  static int Allocate(size_t length, size_t page_size, bool anonymous, std::shared_ptr<Pages>* out);

  // Part of a file. Returns 0 or -errno.
  static int Map(std::shared_ptr<const Descriptor> file, int protection, off_t offset, size_t length,
                 std::shared_ptr<Pages>* out);

  Pages(std::shared_ptr<const Descriptor> file, std::shared_ptr<const AddressRange> range,
        bool writable = true)
      : file_(std::move(file)), range_(std::move(range)), writable_(writable) {}
  ~Pages();
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  // -1 where it is anonymous.
  int fd() const { return file_ ? file_->fd() : -1; }
  void* address() const { return range_->address(); }
  size_t length() const { return range_->length(); }
  bool writable() const { return writable_; }
  const std::shared_ptr<const AddressRange>& range() const { return range_; }

  // Leaves what is behind the addresses there for as long as the process, but not the descriptor.
  void Leave();

  // Puts a page behind every address now, in place of when it is first used. Returns 0 or -errno.
  int Prefault() const;

 private:
  const std::shared_ptr<const Descriptor> file_;
  const std::shared_ptr<const AddressRange> range_;
  const bool writable_;
  std::atomic<bool> left_ = false;
};

// The ArrayBuffer on pages, for the object that has them.
//
// JavaScript can move what an ArrayBuffer shows to another one, in another thread too: ArrayBuffer's
// transfer(), a read of a stream into it. So the pages belong to what is shown (the backing store), wherever
// it goes, and not to the ArrayBuffer that was handed out first.
class PagesBuffer {
 public:
  ~PagesBuffer() { LetGo(); }

  // The ArrayBuffer on the pages: the same one for as long as JavaScript holds it and has not moved it.
  Napi::ArrayBuffer Get(Napi::Env env, const std::shared_ptr<Pages>& pages);

  // Detached, the ArrayBuffer reads as empty from now on, and its share of the pages is given up at once: a
  // mapped region keeps its device open. ArrayBuffers that were moved elsewhere stay as they are.
  void Detach();

 private:
  struct Hold;

  void LetGo();

  std::shared_ptr<Hold> hold_;  // of the ArrayBuffer that was handed out last
};

// State of an object that shows pages as an ArrayBuffer.
struct PagesState : HandleState {
  using Native = Pages;

  void Closed() noexcept { pages_buffer.Detach(); }

  PagesBuffer pages_buffer;
};

struct DmaMemoryState : PagesState {
  static constexpr Class kClass = Class::kDmaMemory;
  static constexpr const char* kName = "DmaMemory";
};

using DmaMemory = Handle<DmaMemoryState>;

// A mapped region of a device. This is not a DmaMemory: it cannot be mapped for DMA by its address. Its
// registers are in registers.cc.
struct MappedRegionState : PagesState {
  static constexpr Class kClass = Class::kMappedRegion;
  static constexpr const char* kName = "MappedRegion";
};

using MappedRegion = Handle<MappedRegionState>;

// buffer(): ArrayBuffer
template <typename Object>
Napi::Value Buffer(Object& object, const Napi::CallbackInfo& info) {
  return object.pages_buffer.Get(info.Env(), object.Use());
}

// allocMemory(length: bigint, pageSize: bigint, anonymous: boolean): DmaMemory, or -errno.
Napi::Value AllocMemory(const Napi::CallbackInfo& info);

// mapRegion(position: bigint, length: bigint, ...) of a file: MappedRegion, or -errno.
Napi::Value MapRegionOf(const std::shared_ptr<const Descriptor>& file, const Napi::CallbackInfo& info,
                        int protection);
