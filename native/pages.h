// Mapped pages that JavaScript sees as an ArrayBuffer: memory for DMA, memfd-backed, or a region of a device.

#pragma once

#include <napi.h>
#include <sys/types.h>

#include <cstddef>
#include <memory>

#include "addon.h"
#include "descriptor.h"

// The mapped pages. They go away with the last owner: the JavaScript object, its ArrayBuffer, or a running
// call.
class Pages {
 public:
  // New memory: a memfd, or anonymous. Pages of a size other than the usual one are huge pages, which the
  // machine must have set aside. Returns 0 or -errno.
  static int Allocate(size_t length, size_t page_size, bool anonymous, std::shared_ptr<Pages>* out);

  // Part of a file. Returns 0 or -errno.
  static int Map(std::shared_ptr<const Descriptor> file, int protection, off_t offset, size_t length,
                 std::shared_ptr<Pages>* out);

  Pages(std::shared_ptr<const Descriptor> file, void* address, size_t length)
      : file_(std::move(file)), address_(address), length_(length) {}
  ~Pages();
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  // -1 where it is anonymous.
  int fd() const { return file_ ? file_->fd() : -1; }
  void* address() const { return address_; }
  size_t length() const { return length_; }

  // Puts a page behind every address now, in place of when it is first used. Returns 0 or -errno.
  int Prefault() const;

 private:
  const std::shared_ptr<const Descriptor> file_;
  void* const address_;
  const size_t length_;
};

// What wraps pages for JavaScript: the ArrayBuffer on them, and closing them.
class PagesBuffer {
 public:
  // The ArrayBuffer on the pages, the same one for as long as JavaScript holds it.
  Napi::ArrayBuffer Get(Napi::Env env, const std::shared_ptr<Pages>& pages);

  // Detached, the ArrayBuffer reads as empty from now on, and its share of the pages is given up at once: a
  // mapped region keeps its device open.
  void Detach();

 private:
  Napi::ArrayBuffer Current() const;

  Napi::Reference<Napi::ArrayBuffer> buffer_;  // weak: it may be collected and made again
  std::shared_ptr<Pages>* share_ = nullptr;    // the ArrayBuffer's own; deleted with it
};

class DmaMemory : public Napi::ObjectWrap<DmaMemory> {
 public:
  static Napi::Function Define(Napi::Env env);

  // allocMemory(length: bigint, pageSize: bigint, anonymous: boolean): DmaMemory, or -errno.
  static Napi::Value Allocate(const Napi::CallbackInfo& info);

  // The pages behind a value that must be a DmaMemory that is not closed; throws otherwise.
  static std::shared_ptr<Pages> FromArgument(Napi::Value value, const char* name);

  explicit DmaMemory(const Napi::CallbackInfo& info);
  ~DmaMemory();

 private:
  Napi::Value Buffer(const Napi::CallbackInfo& info);
  Napi::Value Fd(const Napi::CallbackInfo& info);
  Napi::Value Prefault(const Napi::CallbackInfo& info);
  Napi::Value PrefaultSync(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  std::shared_ptr<Pages> Use() const;

  std::shared_ptr<DmaMemories> memories_;  // where it is listed
  std::shared_ptr<Pages> pages_;
  PagesBuffer buffer_;
};

// A mapped region of a device. It is no DmaMemory: it cannot be mapped for DMA by its address.
class MappedRegion : public Napi::ObjectWrap<MappedRegion> {
 public:
  static Napi::Function Define(Napi::Env env);

  // mapRegion(position: bigint, length: bigint): MappedRegion, or -errno.
  static Napi::Value Map(const Napi::CallbackInfo& info, std::shared_ptr<const Descriptor> file,
                         int protection);

  explicit MappedRegion(const Napi::CallbackInfo& info);

 private:
  Napi::Value Buffer(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  std::shared_ptr<Pages> pages_;
  PagesBuffer buffer_;
};
