// What the classes of the addon share: who makes their objects, how an argument is known to be one, and that
// nothing is used after close().

#pragma once

#include <napi.h>

#include <memory>
#include <utility>

#include "addon.h"
#include "arguments.h"

// Derived has `static constexpr Class kClass` and `static constexpr const char* kName`. Native is what an
// object owns a share of until it is closed.
template <typename Derived, typename Native>
class Handle : public Napi::ObjectWrap<Derived> {
 public:
  // An object of the class around a native part. There is no other way to one: the constructor takes nothing
  // from JavaScript, and finds the native part only while this function runs.
  static Napi::Object New(Napi::Env env, std::shared_ptr<Native> native) {
    Addon& addon = Addon::Of(env);
    const Addon::Making making(&addon, Derived::kClass, &native);
    return addon.constructors[static_cast<size_t>(Derived::kClass)].New(std::initializer_list<napi_value>{});
  }

  // The native part behind an argument, which must be an object of the class that is not closed; throws
  // otherwise.
  static const std::shared_ptr<Native>& FromArgument(Napi::Value value, const char* name) {
    void* wrapped = nullptr;
    if (napi_unwrap(value.Env(), value, &wrapped) != napi_ok ||
        !Addon::Of(value.Env()).handles->Contains(wrapped, Derived::kClass)) {
      arguments::ThrowInvalidType(value, name, arguments::WithArticle(Derived::kName));
    }
    return static_cast<Derived*>(wrapped)->Use();
  }

 protected:
  // How a class defines close(), where it needs nothing of its own for that.
  static auto CloseMethod() {
    return Derived::InstanceMethod(
        "close", static_cast<Napi::Value (Derived::*)(const Napi::CallbackInfo&)>(&Handle::Close));
  }

  explicit Handle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Derived>(info) {
    Addon& addon = Addon::Of(info.Env());
    auto* native = static_cast<std::shared_ptr<Native>*>(addon.TakeMaking(Derived::kClass));
    if (native == nullptr) arguments::ThrowIllegalConstructor(info.Env(), Derived::kName);
    native_ = std::move(*native);
    handles_ = addon.handles;
    handles_->Add(static_cast<Derived*>(this), Derived::kClass);
  }

  ~Handle() {
    if (handles_) handles_->Remove(static_cast<Derived*>(this));
  }

  // The native part; throws ERR_IOMMUFD_CLOSED after close(). A call that outlives the current one takes a
  // share of it; one that ends before JavaScript runs again needs none.
  const std::shared_ptr<Native>& Use() const {
    if (!native_) arguments::ThrowClosed(this->Env(), Derived::kName);
    return native_;
  }

  // close(). Calls that are running keep their share.
  Napi::Value Close(const Napi::CallbackInfo& info) {
    native_.reset();
    return info.Env().Undefined();
  }

 private:
  std::shared_ptr<Native> native_;
  std::shared_ptr<Handles> handles_;  // where it is listed
};
