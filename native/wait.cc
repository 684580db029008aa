#include "wait.h"

#include <sys/epoll.h>

#include <cerrno>

#include "operation.h"

namespace {

constexpr int kAllEvents = UV_READABLE | UV_WRITABLE;

size_t IndexOf(int event) { return event == UV_READABLE ? 0 : 1; }

}  // namespace

Napi::Value Waits::Start(Napi::Object owner, const std::shared_ptr<const Descriptor>& descriptor, int event,
                         Waits** slot) {
  if (*slot == nullptr) {
    const int status = Make(owner, descriptor, slot);
    if (status < 0) return Status(owner.Env(), status);
  }
  return (*slot)->Start(event);
}

int Waits::Make(Napi::Object owner, const std::shared_ptr<const Descriptor>& descriptor, Waits** slot) {
  const Napi::Env env = owner.Env();
  uv_loop_t* loop = nullptr;
  NAPI_THROW_IF_FAILED(env, napi_get_uv_event_loop(env, &loop), 0);
  const auto destroy = [](Waits* waits) { delete waits; };
  std::unique_ptr<Waits, decltype(destroy)> waits(new Waits(env, descriptor, slot), destroy);
  const Napi::String name = Napi::String::New(env, "iommufd");
  NAPI_THROW_IF_FAILED(env, napi_async_init(env, nullptr, name, &waits->context_), 0);
  NAPI_THROW_IF_FAILED(env, napi_create_reference(env, owner, 0, &waits->owner_), 0);
  // An async hook may have made them meanwhile.
  if (*slot != nullptr) return 0;
  const int status = uv_poll_init(loop, &waits->poll_, descriptor->fd());
  if (status < 0) return status;
  // From here on the event loop has the handle, and only Close() may end it.
  Waits* const made = *slot = waits.release();
  made->poll_.data = made;
  uv_unref(reinterpret_cast<uv_handle_t*>(&made->poll_));
  // A worker thread may end meanwhile: its event loop must not be left with our handle in it.
  const napi_status hooked = napi_add_async_cleanup_hook(
      env, [](napi_async_cleanup_hook_handle, void* data) { static_cast<Waits*>(data)->Close(); }, made,
      &made->cleanup_);
  if (hooked == napi_ok) return 0;
  made->Close();
  return -ECANCELED;  // the environment is stopping
}

Waits::Waits(napi_env env, std::shared_ptr<const Descriptor> descriptor, Waits** slot)
    : env_(env), descriptor_(std::move(descriptor)), slot_(slot) {}

Waits::~Waits() {
  if (owner_ != nullptr) napi_delete_reference(env_, owner_);
  if (context_ != nullptr) napi_async_destroy(env_, context_);
  // Last, because this lets the environment go.
  if (cleanup_ != nullptr) napi_remove_async_cleanup_hook(cleanup_);
}

Napi::Value Waits::Start(int event) {
  napi_deferred& place = waiting_[IndexOf(event)];
  if (place != nullptr) return Status(env_, -EEXIST);
  const int status = Ask(asked_ | event);
  if (status < 0) return Status(env_, status);
  napi_deferred deferred;
  napi_value promise;
  NAPI_THROW_IF_FAILED(env_, napi_create_promise(env_, &deferred, &promise), Napi::Value());
  // An async hook, which is JavaScript, may have closed the file meanwhile, or waited for the same.
  if (uv_is_closing(reinterpret_cast<uv_handle_t*>(&poll_)) || place != nullptr) {
    const bool closed = place == nullptr;
    // Only settling a promise frees what it holds.
    napi_resolve_deferred(env_, deferred, Napi::Boolean::New(env_, false));
    return closed ? Napi::Value(env_, promise) : Status(env_, -EEXIST);
  }
  if (!AnyoneWaits()) {
    uv_ref(reinterpret_cast<uv_handle_t*>(&poll_));
    napi_reference_ref(env_, owner_, nullptr);
  }
  place = deferred;
  return Napi::Value(env_, promise);
}

int Waits::Ask(int events) noexcept {
  if (events == asked_) return 0;
  const auto ready = [](uv_poll_t* poll, int status, int ready_events) {
    static_cast<Waits*>(poll->data)->Ready(status, ready_events);
  };
  uv_poll_stop(&poll_);
  int status = events == 0 ? 0 : CanBeAsked();
  if (events != 0 && status == 0) status = uv_poll_start(&poll_, events, ready);
  asked_ = status < 0 ? 0 : events;
  return status;
}

// libuv puts the descriptor into its epoll later, and ends the process where that is refused. It can be:
// somebody may have closed the number, or have another file there by now. uv_poll_init() looks too, but once
// only.
int Waits::CanBeAsked() const noexcept {
  const int epoll = uv_backend_fd(poll_.loop);
  epoll_event event = {EPOLLIN, {}};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor_->fd(), &event) < 0) return -errno;
  epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor_->fd(), &event);
  return 0;
}

// An error of the poll counts as ready: reading shows the error. libuv has stopped the handle then.
void Waits::Ready(int status, int events) noexcept {
  if (status < 0) {
    asked_ = 0;
    events = kAllEvents;
  }
  int unwanted = 0;
  for (const int event : {UV_READABLE, UV_WRITABLE}) {
    if ((events & event) != 0 && waiting_[IndexOf(event)] == nullptr) unwanted |= event;
  }
  Ask(asked_ & ~unwanted);
  const Promises promises = Take(events);
  Settle(promises, true);
}

// Nobody waits for these events any longer.
Waits::Promises Waits::Take(int events) noexcept {
  Promises taken = {};
  for (const int event : {UV_READABLE, UV_WRITABLE}) {
    if ((events & event) != 0) std::swap(taken[IndexOf(event)], waiting_[IndexOf(event)]);
  }
  if ((taken[0] != nullptr || taken[1] != nullptr) && !AnyoneWaits()) {
    uv_unref(reinterpret_cast<uv_handle_t*>(&poll_));
    napi_reference_unref(env_, owner_, nullptr);
  }
  return taken;
}

// Where the environment is stopping, each of these calls may fail, and then nobody is left to be told.
// JavaScript may end everything in them, so nothing of this object is used after them.
void Waits::Settle(const Promises& promises, bool ready) noexcept {
  if (promises[0] == nullptr && promises[1] == nullptr) return;
  const napi_env env = env_;
  napi_handle_scope handles = nullptr;
  napi_callback_scope callback = nullptr;
  if (napi_open_handle_scope(env, &handles) != napi_ok) return;
  napi_open_callback_scope(env, nullptr, context_, &callback);
  napi_value result;
  if (napi_get_boolean(env, ready, &result) == napi_ok) {
    for (const napi_deferred promise : promises) {
      if (promise != nullptr) napi_resolve_deferred(env, promise, result);
    }
  }
  if (callback != nullptr) napi_close_callback_scope(env, callback);
  napi_close_handle_scope(env, handles);
}

void Waits::End() noexcept {
  const Promises promises = Take(kAllEvents);
  Close();
  Settle(promises, false);
}

void Waits::Close() noexcept {
  if (uv_is_closing(reinterpret_cast<uv_handle_t*>(&poll_))) return;
  *slot_ = nullptr;
  // Nobody else may be left to keep what the slot is in.
  napi_delete_reference(env_, owner_);
  owner_ = nullptr;
  // Closing takes the descriptor out of the event loop at once; only the memory has to stay until it is done.
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_),
           [](uv_handle_t* handle) { delete static_cast<Waits*>(handle->data); });
  descriptor_.reset();
}
