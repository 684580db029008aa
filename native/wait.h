// Waiting on the event loop until a descriptor can be read or written.

#pragma once

#include <napi.h>
#include <uv.h>

#include <array>
#include <memory>

#include "descriptor.h"

// The waits for one file: at most one for reading and one for writing, on one poll handle.
//
// The handle is made with the first wait. It stays until the file is closed or collected, because to put a
// descriptor into an event loop and to take it out again takes several system calls. So it stays in the loop
// between two waits too: as a rule, whoever is told that there is something reads it and waits again. If
// something becomes ready while nobody waits for it, the loop stops watching it. Otherwise the loop would
// report it again and again.
//
// While somebody waits, the event loop stays alive, as for a socket that is read, and the JavaScript object
// of the file is kept. Otherwise neither is so.
//
// A wait may end while its environment stops, when no JavaScript can run any more. So the callbacks use the C
// functions of Node-API, which return a status. An exception of C++ that leaves a callback of the event loop
// would end the process, on the main thread too.
class Waits {
 public:
  // Starts a wait for UV_READABLE or UV_WRITABLE. The promise becomes true when that is so, and false when
  // the file is closed; -EEXIST where a wait for the same is running, or -errno where the descriptor cannot
  // be waited for. `slot` is where the owner keeps the waits; it is null again when they are closed.
  static Napi::Value Start(Napi::Object owner, const std::shared_ptr<const Descriptor>& descriptor, int event,
                           Waits** slot);

  // The file is closed: ends all waits with false.
  void End() noexcept;

  // The file is collected, or its environment stops: nobody is told.
  void Close() noexcept;

 private:
  // The promises of those who wait, for reading and for writing.
  using Promises = std::array<napi_deferred, 2>;

  static int Make(Napi::Object owner, const std::shared_ptr<const Descriptor>& descriptor, Waits** slot);

  Waits(napi_env env, std::shared_ptr<const Descriptor> descriptor, Waits** slot);
  ~Waits();

  Napi::Value Start(int event);
  void Ready(int status, int events) noexcept;

  // Asks the event loop for these events, and for no others. Returns 0 or -errno.
  int Ask(int events) noexcept;
  int CanBeAsked() const noexcept;

  bool AnyoneWaits() const noexcept { return waiting_[0] != nullptr || waiting_[1] != nullptr; }
  Promises Take(int events) noexcept;
  void Settle(const Promises& promises, bool ready) noexcept;

  uv_poll_t poll_;
  const napi_env env_;
  napi_async_context context_ = nullptr;
  napi_ref owner_ = nullptr;  // a weak one, as long as nobody waits
  std::shared_ptr<const Descriptor> descriptor_;
  Waits** const slot_;
  napi_async_cleanup_hook_handle cleanup_ = nullptr;
  Promises waiting_ = {};
  int asked_ = 0;  // the events that the event loop is asked for
};
