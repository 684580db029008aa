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

template <typename Operation>
Napi::Value RunSync(Napi::Env env, Operation&& operation) {
  const int status = operation.Run();
  return status < 0 ? Status(env, status) : operation.Result(env);
}

template <typename Operation>
class OperationWorker : public Napi::AsyncWorker {
 public:
  OperationWorker(Napi::Env env, Operation operation)
      : Napi::AsyncWorker(env, "iommufd"),
        deferred_(Napi::Promise::Deferred::New(env)),
        operation_(std::move(operation)) {}

  Napi::Promise Promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override { status_ = operation_.Run(); }

  void OnOK() override {
    Napi::HandleScope scope(Env());
    deferred_.Resolve(status_ < 0 ? Status(Env(), status_) : operation_.Result(Env()));
  }

  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  Napi::Promise::Deferred deferred_;
  Operation operation_;
  int status_ = 0;
};

template <typename Operation>
Napi::Value RunAsync(Napi::Env env, Operation operation) {
  auto* worker = new OperationWorker<Operation>(env, std::move(operation));  // deletes itself when done
  const Napi::Promise promise = worker->Promise();
  worker->Queue();
  return promise;
}
