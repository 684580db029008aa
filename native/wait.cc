#include "wait.h"

#include "operation.h"

Napi::Value Wait::Start(Napi::Object owner, std::shared_ptr<const Descriptor> descriptor, int events,
                        Wait** slot) {
  const Napi::Env env = owner.Env();
  // As the event loop says of one descriptor; of a duplicate it would not know.
  if (*slot != nullptr) return Status(env, -EEXIST);
  uv_loop_t* loop = nullptr;
  NAPI_THROW_IF_FAILED(env, napi_get_uv_event_loop(env, &loop), Napi::Value());
  const auto destroy = [](Wait* wait) { delete wait; };
  std::unique_ptr<Wait, decltype(destroy)> wait(new Wait(env, std::move(descriptor), slot), destroy);
  napi_value promise;
  const Napi::String name = Napi::String::New(env, "iommufd");
  NAPI_THROW_IF_FAILED(env, napi_async_init(env, nullptr, name, &wait->context_), Napi::Value());
  NAPI_THROW_IF_FAILED(env, napi_create_reference(env, owner, 1, &wait->owner_), Napi::Value());
  NAPI_THROW_IF_FAILED(env, napi_create_promise(env, &wait->deferred_, &promise), Napi::Value());

  const int status = uv_poll_init(loop, &wait->poll_, wait->descriptor_->fd());
  if (status < 0) {
    // Only settling a promise frees what it holds.
    napi_resolve_deferred(env, wait->deferred_, env.Undefined());
    return Status(env, status);
  }
  // From here on the event loop has the handle, and only Close() may end the wait.
  Wait* const started = *slot = wait.release();
  started->poll_.data = started;
  // A worker thread may end meanwhile: its event loop must not be left with our handle in it.
  const napi_status hooked = napi_add_async_cleanup_hook(
      env, [](napi_async_cleanup_hook_handle, void* data) { static_cast<Wait*>(data)->Close(); }, started,
      &started->cleanup_);
  const int polled =
      hooked == napi_ok
          ? uv_poll_start(&started->poll_, events,
                          [](uv_poll_t* poll, int, int) { static_cast<Wait*>(poll->data)->Finish(true); })
          : -ECANCELED;  // the environment is stopping
  if (polled < 0) {
    napi_resolve_deferred(env, started->deferred_, env.Undefined());
    started->Close();
    return Status(env, polled);
  }
  return Napi::Value(env, promise);
}

Wait::Wait(napi_env env, std::shared_ptr<const Descriptor> descriptor, Wait** slot)
    : env_(env), descriptor_(std::move(descriptor)), slot_(slot) {}

Wait::~Wait() {
  if (owner_ != nullptr) napi_delete_reference(env_, owner_);
  if (context_ != nullptr) napi_async_destroy(env_, context_);
  // Last, for it lets the environment go.
  if (cleanup_ != nullptr) napi_remove_async_cleanup_hook(cleanup_);
}

// An error of the poll counts as ready: reading tells what it is. Where the environment is stopping, each of
// these calls may fail, and then nobody is left to be told.
void Wait::Finish(bool ready) noexcept {
  napi_handle_scope handles = nullptr;
  napi_callback_scope callback = nullptr;
  if (napi_open_handle_scope(env_, &handles) != napi_ok) return Close();
  const napi_env env = env_;
  const napi_deferred deferred = deferred_;
  napi_open_callback_scope(env, nullptr, context_, &callback);
  Close();
  napi_value result;
  if (napi_get_boolean(env, ready, &result) == napi_ok) napi_resolve_deferred(env, deferred, result);
  if (callback != nullptr) napi_close_callback_scope(env, callback);
  napi_close_handle_scope(env, handles);
}

void Wait::Close() noexcept {
  if (uv_is_closing(reinterpret_cast<uv_handle_t*>(&poll_))) return;
  *slot_ = nullptr;
  // Nobody else may be left to keep what the slot is in.
  napi_delete_reference(env_, owner_);
  owner_ = nullptr;
  // Closing takes the descriptor out of the event loop at once; only the memory has to stay until it is done.
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_),
           [](uv_handle_t* handle) { delete static_cast<Wait*>(handle->data); });
  descriptor_.reset();
}
