// A unix socket that carries descriptors (SCM_RIGHTS), which those of Node.js cannot. Nothing here blocks: a
// call that would says EAGAIN, and readable() and writable() wait.

#pragma once

#include "file.h"

struct UnixSocketState : WaitableFileState {
  static constexpr Class kClass = Class::kUnixSocket;
  static constexpr const char* kName = "UnixSocket";
};

using UnixSocket = Handle<UnixSocketState>;

// connectUnixSocket(path): UnixSocket, or -errno.
Napi::Value ConnectUnixSocket(const Napi::CallbackInfo& info);

// listenUnixSocket(path): UnixSocket that accepts, or -errno.
Napi::Value ListenUnixSocket(const Napi::CallbackInfo& info);
