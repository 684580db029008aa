// One call into the kernel, apart from JavaScript.
//
// An operation owns everything its call needs: the arguments, and a share of each descriptor and memory that
// is used. So it can run on the caller's thread or on the libuv thread pool, and nothing it uses goes away
// meanwhile.
//
// Each is a class with two members:
//   int Run();                             may block, never touches JavaScript; 0 or -errno
//   Napi::Value Result(Napi::Env) const;   the value of a successful call
//
// A failed call yields the number -errno: never an exception, and never mistaken for a result, because no
// successful result is a negative number. lib/backend/kernel turns it into a system error.

#pragma once

#include <napi.h>

#include <cerrno>
#include <exception>
#include <memory>
#include <new>
#include <utility>

inline Napi::Value Status(Napi::Env env, int status) {
  napi_value value;
  NAPI_THROW_IF_FAILED(env, napi_create_int32(env, status, &value), Napi::Value());
  return Napi::Value(env, value);
}

// How a call that handles many things ended: { done, status }. How many were handled matters also, and above
// all, where one was refused.
inline Napi::Value Outcome(Napi::Env env, size_t done, int status) {
  auto result = Napi::Object::New(env);
  result.Set("done", Napi::Number::New(env, static_cast<double>(done)));
  result.Set("status", Napi::Number::New(env, status));
  return result;
}

// An operation that needs more memory than there is fails as the kernel would say it.
template <typename Operation>
int Run(Operation& operation) noexcept {
  try {
    return operation.Run();
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
}

template <typename Operation>
Napi::Value RunSync(Napi::Env env, Operation operation) {
  const int status = Run(operation);
  return status < 0 ? Status(env, status) : operation.Result(env);
}

// An operation on the thread pool. It deletes itself when it is done.
//
// The environment may be stopping by then. So nothing leaves the callbacks as an exception of C++, which
// would end the process: what fails there has nobody left to be told.
template <typename Operation>
class AsyncOperation {
 public:
  template <typename BeforeQueue>
  static Napi::Value Start(Napi::Env env, Operation operation, BeforeQueue before_queue) {
    std::unique_ptr<AsyncOperation> self(new AsyncOperation(env, std::move(operation)));
    napi_value promise;
    const Napi::String name = Napi::String::New(env, "iommufd");
    NAPI_THROW_IF_FAILED(
        env, napi_create_async_work(env, nullptr, name, Execute, Complete, self.get(), &self->work_),
        Napi::Value());
    NAPI_THROW_IF_FAILED(env, napi_create_promise(env, &self->deferred_, &promise), Napi::Value());
    before_queue();
    NAPI_THROW_IF_FAILED(env, napi_queue_async_work(env, self->work_), Napi::Value());
    self.release();
    return Napi::Value(env, promise);
  }

  ~AsyncOperation() {
    if (work_ != nullptr) napi_delete_async_work(env_, work_);
  }

 private:
  AsyncOperation(napi_env env, Operation operation) : env_(env), operation_(std::move(operation)) {}

  static void Execute(napi_env, void* data) {
    auto* self = static_cast<AsyncOperation*>(data);
    self->status_ = Run(self->operation_);
  }

  static void Complete(napi_env env, napi_status status, void* data) noexcept {
    const std::unique_ptr<AsyncOperation> self(static_cast<AsyncOperation*>(data));
    napi_handle_scope scope;
    if (status == napi_cancelled || napi_open_handle_scope(env, &scope) != napi_ok) return;
    self->Settle();
    napi_close_handle_scope(env, scope);
  }

  void Settle() noexcept {
    try {
      const Napi::Value value = status_ < 0 ? Status(env_, status_) : operation_.Result(env_);
      napi_resolve_deferred(env_, deferred_, value);
    } catch (const std::exception&) {
      // No memory for the result, or no JavaScript to make it in.
      napi_value status;
      if (napi_create_int32(env_, -ENOMEM, &status) == napi_ok) {
        napi_resolve_deferred(env_, deferred_, status);
      }
    }
  }

  const napi_env env_;
  napi_async_work work_ = nullptr;
  napi_deferred deferred_ = nullptr;
  Operation operation_;
  int status_ = 0;
};

// `before_queue` is called as the last thing before it is queued, when no JavaScript (an async hook) runs
// in between any more.
template <typename Operation, typename BeforeQueue>
Napi::Value RunAsync(Napi::Env env, Operation operation, BeforeQueue before_queue) {
  return AsyncOperation<Operation>::Start(env, std::move(operation), before_queue);
}

template <typename Operation>
Napi::Value RunAsync(Napi::Env env, Operation operation) {
  return RunAsync(env, std::move(operation), [] {});
}
