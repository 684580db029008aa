// Waiting on the event loop until a descriptor can be read or written.

#pragma once

#include <napi.h>
#include <uv.h>

#include <memory>

#include "descriptor.h"

// One wait. It holds the JavaScript object that it is for, and a share of the descriptor, so neither goes
// away meanwhile; it deletes itself when it is over. While it lasts the event loop stays alive, as for a
// socket that is read.
class Wait {
 public:
  // Starts a wait for UV_READABLE or UV_WRITABLE. The promise becomes true when that is so, and false when
  // the wait is cancelled; -EEXIST where one that has `slot` is running. Throws what uv_poll_init() says
  // where the descriptor cannot be waited for. `slot` is null again when the wait is over.
  static Napi::Value Start(Napi::Object owner, std::shared_ptr<const Descriptor> descriptor, int events,
                           Wait** slot);

  void Cancel() { Finish(false); }

 private:
  Wait(Napi::Object owner, std::shared_ptr<const Descriptor> descriptor, Wait** slot);

  void Finish(bool ready);
  void Close();

  uv_poll_t poll_;
  Napi::Env env_;
  Napi::AsyncContext context_;
  Napi::Promise::Deferred deferred_;
  Napi::ObjectReference owner_;
  std::shared_ptr<const Descriptor> descriptor_;
  Wait** slot_;
  napi_async_cleanup_hook_handle cleanup_ = nullptr;
};
