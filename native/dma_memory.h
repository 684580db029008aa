// Page-aligned memory for DMA, memfd-backed, seen by JavaScript as an ArrayBuffer.

#pragma once

#include <napi.h>

#include <cstddef>
#include <memory>

#include "descriptor.h"

// The mapped pages. They go away with the last owner: the JavaScript object, its ArrayBuffer, or a running
// call.
class Pages {
 public:
  // Returns 0 or -errno.
  static int Allocate(size_t length, std::shared_ptr<Pages>* out);

  Pages(std::shared_ptr<const Descriptor> memfd, void* address, size_t length)
      : memfd_(std::move(memfd)), address_(address), length_(length) {}
  ~Pages();
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  int fd() const { return memfd_->fd(); }
  void* address() const { return address_; }
  size_t length() const { return length_; }

 private:
  const std::shared_ptr<const Descriptor> memfd_;
  void* const address_;
  const size_t length_;
};

class DmaMemory : public Napi::ObjectWrap<DmaMemory> {
 public:
  static Napi::Function Define(Napi::Env env);

  // allocMemory(length: bigint): DmaMemory, or -errno.
  static Napi::Value Allocate(const Napi::CallbackInfo& info);

  // The pages behind a value that must be a DmaMemory that is not closed; throws otherwise.
  static std::shared_ptr<Pages> FromArgument(Napi::Value value, const char* name);

  explicit DmaMemory(const Napi::CallbackInfo& info);

 private:
  Napi::Value Buffer(const Napi::CallbackInfo& info);
  Napi::Value Fd(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);
  Napi::ArrayBuffer CurrentBuffer() const;

  std::shared_ptr<Pages> pages_;
  Napi::Reference<Napi::ArrayBuffer> buffer_;  // weak: the ArrayBuffer may be collected and made again
};
