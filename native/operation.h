// Calls into the kernel, apart from JavaScript.
//
// A call that only ever runs on the caller's thread is a function: it fills in a Command(), issues it, and
// gives an Answer().
//
// A call that may also run on libuv's thread pool is an operation. It owns everything that it needs: the
// arguments, and a share of each descriptor and memory that is used. So nothing that it uses goes away
// meanwhile. Each is a class with:
//
// - explicit Operation(const Napi::CallbackInfo&): takes the arguments, or throws
// - std::shared_ptr<...> native: what the object is a handle of; set for it
// - int Run(): 0 or more, or -errno; may block, and never touches JavaScript
// - Napi::Value Result(Napi::Env) const: the value of a successful call
// - MappingAccesses Accesses() const: only where it has to run in order (mapping_order.h)
//
// Most are an IoctlOperation, and have to say only what differs.
//
// A failed call yields the number -errno: never an exception, and never mistaken for a result, because no
// successful result is a negative number. lib/backend/kernel turns it into a system error.

#pragma once

#include <napi.h>

#include <cerrno>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "descriptor.h"

inline Napi::Value Status(Napi::Env env, int status) {
  napi_value value;
  NAPI_THROW_IF_FAILED(env, napi_create_int32(env, status, &value), Napi::Value());
  return Napi::Value(env, value);
}

inline Napi::Value ToValue(Napi::Env env, uint32_t number) { return Napi::Number::New(env, number); }
inline Napi::Value ToValue(Napi::Env env, uint64_t number) { return Napi::BigInt::New(env, number); }

// -errno where the call failed, the value otherwise.
template <typename Value>
Napi::Value Answer(Napi::Env env, int status, const Value& value) {
  return status < 0 ? Status(env, status) : ToValue(env, value);
}

// The same for a call without a result.
inline Napi::Value Answer(Napi::Env env, int status) {
  return status < 0 ? Status(env, status) : env.Undefined();
}

// How a call that handles many things ended: { done, status }. How many were handled matters also, and above
// all, where one was refused.
inline Napi::Value Outcome(Napi::Env env, size_t done, int status) {
  auto result = Napi::Object::New(env);
  result.Set("done", Napi::Number::New(env, static_cast<double>(done)));
  result.Set("status", Napi::Number::New(env, status));
  return result;
}

// A structure of the kernel that says its own size first, as those of iommufd and of VFIO do.
template <typename Structure>
auto SetSize(Structure* command) -> decltype(command->size, void()) {
  command->size = sizeof(*command);
}

template <typename Structure>
auto SetSize(Structure* command) -> decltype(command->argsz, void()) {
  command->argsz = sizeof(*command);
}

template <typename Structure>
Structure Command() {
  Structure command = {};
  SetSize(&command);
  return command;
}

// An operation that is one ioctl: its structure, its request number, and which member of the structure is the
// result (undefined is, where none is named).
template <unsigned long kRequest, typename Structure, auto kResult = nullptr>
struct IoctlOperation {
  std::shared_ptr<const Descriptor> native;
  Structure command = Command<Structure>();

  int Run() { return native->Ioctl(kRequest, &command); }

  Napi::Value Result(Napi::Env env) const {
    if constexpr (std::is_null_pointer_v<decltype(kResult)>) {
      return env.Undefined();
    } else {
      return ToValue(env, command.*kResult);
    }
  }
};

// A call that needs more memory than there is fails with the kernel's error.
template <typename Call>
int OrNoMemory(Call call) noexcept {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
}

template <typename Operation>
int Run(Operation& operation) noexcept {
  return OrNoMemory([&] { return operation.Run(); });
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
