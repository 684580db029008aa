// The common part of the classes of files: how an object gets its descriptor, and the number of the
// descriptor.

#pragma once

#include <napi.h>

#include <memory>
#include <utility>

#include "arguments.h"
#include "descriptor.h"
#include "handle.h"
#include "operation.h"
#include "wait.h"

// State of a class whose objects are files.
struct FileState : HandleState {
  using Native = const Descriptor;
};

// State of a file that can be waited for. The waits that are running end with false when it is closed.
struct WaitableFileState : FileState {
  WaitableFileState() = default;
  ~WaitableFileState() {
    if (waits != nullptr) waits->Close();
  }
  WaitableFileState(const WaitableFileState&) = delete;
  WaitableFileState& operator=(const WaitableFileState&) = delete;

  void Closed() noexcept {
    if (waits != nullptr) waits->End();
  }

  Waits* waits = nullptr;
};

// Takes over a descriptor that the kernel has made.
template <typename File>
Napi::Object Own(Napi::Env env, int fd) {
  return File::New(env, std::make_shared<const Descriptor>(fd));
}

// open…(path: string): the file of that path, or -errno.
template <typename File>
Napi::Value OpenPath(const Napi::CallbackInfo& info) {
  std::shared_ptr<const Descriptor> descriptor;
  const int status = Descriptor::Open(arguments::Path(info[0], "path"), &descriptor);
  return status < 0 ? Status(info.Env(), status) : File::New(info.Env(), std::move(descriptor));
}

// open…Fd(fd: number): a file on a duplicate of it, or -errno.
template <typename File>
Napi::Value OpenFd(const Napi::CallbackInfo& info) {
  std::shared_ptr<const Descriptor> descriptor;
  const int status = Descriptor::Duplicate(arguments::Fd(info[0], "fd"), &descriptor);
  return status < 0 ? Status(info.Env(), status) : File::New(info.Env(), std::move(descriptor));
}

// fd(): number. It stays the object's to close.
template <typename File>
Napi::Value Fd(File& file, const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), file.Use()->fd());
}

// readable(), writable(): a promise of true once there is something to read, or room to write, and of false
// once the file is closed. Answers -errno if nobody can wait for it now, for example because another wait for
// the same is running.
template <typename File, int kEvent>
Napi::Value Wait(File& file, const Napi::CallbackInfo&) {
  return Waits::Start(file.Value(), file.Use(), kEvent, &file.waits);
}
