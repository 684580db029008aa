// A unix socket that carries descriptors (SCM_RIGHTS), which those of Node.js cannot. Nothing here blocks: a
// call that would says EAGAIN, and readable() and writable() wait.

#pragma once

#include <napi.h>

#include <memory>

#include "descriptor.h"
#include "handle.h"
#include "wait.h"

class UnixSocket : public Handle<UnixSocket, const Descriptor> {
 public:
  static constexpr Class kClass = Class::kUnixSocket;
  static constexpr const char* kName = "UnixSocket";

  static Napi::Function Define(Napi::Env env);

  // connectUnixSocket(path): UnixSocket, or -errno.
  static Napi::Value Connect(const Napi::CallbackInfo& info);

  // listenUnixSocket(path): UnixSocket that accepts, or -errno.
  static Napi::Value Listen(const Napi::CallbackInfo& info);

  explicit UnixSocket(const Napi::CallbackInfo& info) : Handle(info) {}

 private:
  friend Handle;

  Napi::Value CloseWaits(const Napi::CallbackInfo& info);
  Napi::Value Accept(const Napi::CallbackInfo& info);
  Napi::Value Send(const Napi::CallbackInfo& info);
  Napi::Value Receive(const Napi::CallbackInfo& info);
  Napi::Value Readable(const Napi::CallbackInfo& info);
  Napi::Value Writable(const Napi::CallbackInfo& info);

  Wait* read_wait_ = nullptr;
  Wait* write_wait_ = nullptr;
};
