#include "wait.h"

#include "operation.h"

Napi::Value Wait::Start(Napi::Object owner, std::shared_ptr<const Descriptor> descriptor, int events,
                        Wait** slot) {
  const Napi::Env env = owner.Env();
  // As the event loop says of one descriptor; of a duplicate it would not know.
  if (*slot != nullptr) return Status(env, -EEXIST);
  uv_loop_t* loop = nullptr;
  NAPI_THROW_IF_FAILED(env, napi_get_uv_event_loop(env, &loop), Napi::Value());
  auto wait = std::unique_ptr<Wait>(new Wait(owner, std::move(descriptor), slot));
  const int status = uv_poll_init(loop, &wait->poll_, wait->descriptor_->fd());
  if (status < 0) return Status(env, status);
  wait->poll_.data = wait.get();
  // A worker thread may end meanwhile: its event loop must not be left with our handle in it.
  napi_add_async_cleanup_hook(
      env, [](napi_async_cleanup_hook_handle, void* data) { static_cast<Wait*>(data)->Close(); }, wait.get(),
      &wait->cleanup_);
  uv_poll_start(&wait->poll_, events,
                [](uv_poll_t* poll, int, int) { static_cast<Wait*>(poll->data)->Finish(true); });
  *slot = wait.get();
  return wait.release()->deferred_.Promise();
}

Wait::Wait(Napi::Object owner, std::shared_ptr<const Descriptor> descriptor, Wait** slot)
    : env_(owner.Env()),
      context_(env_, "iommufd"),
      deferred_(Napi::Promise::Deferred::New(env_)),
      owner_(Napi::Persistent(owner)),
      descriptor_(std::move(descriptor)),
      slot_(slot) {}

// An error of the poll counts as ready: reading tells what it is.
void Wait::Finish(bool ready) {
  const Napi::HandleScope scope(env_);
  const Napi::CallbackScope callback(env_, context_);
  const auto deferred = deferred_;
  const auto result = Napi::Boolean::New(env_, ready);
  Close();
  deferred.Resolve(result);
}

void Wait::Close() {
  if (uv_is_closing(reinterpret_cast<uv_handle_t*>(&poll_))) return;
  *slot_ = nullptr;
  owner_.Reset();
  // Closing takes the descriptor out of the event loop at once; only the memory has to stay until it is done.
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) {
    auto* wait = static_cast<Wait*>(handle->data);
    napi_remove_async_cleanup_hook(wait->cleanup_);
    delete wait;
  });
  descriptor_.reset();
}
