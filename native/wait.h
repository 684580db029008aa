// Waiting on the event loop until a descriptor can be read or written.

#pragma once

#include <napi.h>
#include <uv.h>

#include <memory>

#include "descriptor.h"

// One wait. It holds the JavaScript object that it is for, and a share of the descriptor, so neither goes
// away meanwhile; it deletes itself when it is over. While it lasts the event loop stays alive, as for a
// socket that is read.
//
// It may end while its environment stops, when no JavaScript can run any more. So what its callbacks do is
// written against the C functions of Node-API, which return a status: an exception of C++ that left a
// callback of the event loop would end the process, the main thread's too.
class Wait {
 public:
  // Starts a wait for UV_READABLE or UV_WRITABLE. The promise becomes true when that is so, and false when
  // the wait is cancelled; -EEXIST where one that has `slot` is running, or -errno where the descriptor
  // cannot be waited for. `slot` is null again when the wait is over.
  static Napi::Value Start(Napi::Object owner, std::shared_ptr<const Descriptor> descriptor, int events,
                           Wait** slot);

  void Cancel() noexcept { Finish(false); }

 private:
  Wait(napi_env env, std::shared_ptr<const Descriptor> descriptor, Wait** slot);
  ~Wait();

  void Finish(bool ready) noexcept;
  void Close() noexcept;

  uv_poll_t poll_;
  const napi_env env_;
  napi_async_context context_ = nullptr;
  napi_deferred deferred_ = nullptr;
  napi_ref owner_ = nullptr;
  std::shared_ptr<const Descriptor> descriptor_;
  Wait** const slot_;
  napi_async_cleanup_hook_handle cleanup_ = nullptr;
};
