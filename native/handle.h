// The common part of the addon's classes. It makes their objects, recognizes them as arguments, refuses their
// use after close(), and defines their methods.

#pragma once

#include <napi.h>

#include <memory>
#include <utility>
#include <vector>

#include "addon.h"
#include "arguments.h"
#include "mapping_order.h"
#include "operation.h"

// The part of an object besides its native part: the base of the description of each class. One has
//   static constexpr Class kClass
//   static constexpr const char* kName
//   using Native                        what an object owns a share of until it is closed
//   mapping_order                       where the class has operations that run in order
struct HandleState {
  // Further work of close().
  void Closed() noexcept {}
};

template <typename State>
class Handle final : public Napi::ObjectWrap<Handle<State>>, public State {
 public:
  using Native = typename State::Native;

  // A method that is a function. Defined next to it, as a variable that is made when the addon is loaded:
  //   const IommufdFile::Method<Destroy> destroy("destroy");
  template <Napi::Value (*kFunction)(Handle&, const Napi::CallbackInfo&)>
  struct Method {
    explicit Method(const char* name) { Register<&Handle::template Call<kFunction>>(name); }
  };

  // A method that runs an operation on the thread pool and yields a promise, and its twin that runs it on the
  // caller's thread.
  template <typename Operation>
  struct Both {
    Both(const char* name, const char* sync_name) {
      Register<&Handle::template Start<Operation>>(name);
      Register<&Handle::template Finish<Operation>>(sync_name);
    }
  };

  static Napi::Function Define(Napi::Env env) {
    std::vector<Napi::ClassPropertyDescriptor<Handle>> methods;
    for (const auto& method : Methods()) methods.push_back(method.of_class);
    methods.push_back(Handle::template InstanceMethod<&Handle::Bound>("bound"));
    return Handle::DefineClass(env, State::kName, methods);
  }

  // An object of the class around a native part. There is no other way to one: the constructor takes nothing
  // from JavaScript, and finds the native part only while this function runs.
  static Napi::Object New(Napi::Env env, std::shared_ptr<Native> native) {
    Addon& addon = Addon::Of(env);
    const Addon::Making making(&addon, State::kClass, &native);
    return addon.constructors[static_cast<size_t>(State::kClass)].New(std::initializer_list<napi_value>{});
  }

  // The native part behind an argument, which must be an object of the class that is not closed, or the token
  // of one; throws otherwise.
  static const std::shared_ptr<Native>& FromArgument(Napi::Value value, const char* name) {
    void* found = nullptr;
    if ((napi_get_value_external(value.Env(), value, &found) != napi_ok &&
         napi_unwrap(value.Env(), value, &found) != napi_ok) ||
        !Addon::Of(value.Env()).handles->Contains(found, State::kClass)) {
      arguments::ThrowInvalidType(value, name, arguments::WithArticle(State::kName));
    }
    return static_cast<Handle*>(found)->Use();
  }

  // The token that stands for the object as an argument, and is found faster. A token must not outlive its
  // object. It is refused once the object is gone, until another object is at the same place.
  Napi::Value Token() { return Napi::External<Handle>::New(this->Env(), this); }

  explicit Handle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Handle<State>>(info) {
    Addon& addon = Addon::Of(info.Env());
    auto* native = static_cast<std::shared_ptr<Native>*>(addon.TakeMaking(State::kClass));
    if (native == nullptr) arguments::ThrowIllegalConstructor(info.Env(), State::kName);
    native_ = std::move(*native);
    handles_ = addon.handles;
    handles_->Add(this, State::kClass);
  }

  ~Handle() {
    if (handles_) handles_->Remove(this);
  }

  // The native part; throws ERR_IOMMUFD_CLOSED after close(). A call that outlives the current one takes a
  // share of it; one that ends before JavaScript runs again needs none. Arguments are read first, for reading
  // them may run JavaScript.
  const std::shared_ptr<Native>& Use() const {
    if (!native_) arguments::ThrowClosed(this->Env(), State::kName);
    return native_;
  }

 private:
  using NativeMethod = Napi::Value (Handle::*)(const Napi::CallbackInfo&);

  struct Registered {
    const char* name;
    Napi::ClassPropertyDescriptor<Handle> of_class;
    Napi::Function (*bind)(Napi::Env env, const char* name, Handle* handle);
  };

  // Filled in while the addon is loaded, and only read afterwards: by any thread.
  static std::vector<Registered>& Methods() {
    static std::vector<Registered> methods = {Named<&Handle::Close>("close")};
    return methods;
  }

  template <NativeMethod kMethod>
  static void Register(const char* name) {
    Methods().push_back(Named<kMethod>(name));
  }

  template <NativeMethod kMethod>
  static Registered Named(const char* name) {
    return {name, Handle::template InstanceMethod<kMethod>(name), Bind<kMethod>};
  }

  template <NativeMethod kMethod>
  static Napi::Function Bind(Napi::Env env, const char* name, Handle* handle) {
    return Napi::Function::New<CallBound<kMethod>>(env, name, handle);
  }

  template <NativeMethod kMethod>
  static Napi::Value CallBound(const Napi::CallbackInfo& info) {
    return (static_cast<Handle*>(info.Data())->*kMethod)(info);
  }

  // bound(): the methods as functions that know whose they are. To find that by `this` takes twice as long as
  // everything else that Node-API does in a short call.
  Napi::Value Bound(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    auto functions = Napi::Object::New(env);
    for (const auto& [name, of_class, bind] : Methods()) {
      Napi::Function function = bind(env, name, this);
      // A property that nothing can change keeps the object for as long as the function: it has its address.
      function.DefineProperty(Napi::PropertyDescriptor::Value("of", info.This(), napi_default));
      functions.Set(name, function);
    }
    return functions;
  }

  template <Napi::Value (*kFunction)(Handle&, const Napi::CallbackInfo&)>
  Napi::Value Call(const Napi::CallbackInfo& info) {
    return kFunction(*this, info);
  }

  template <typename Operation>
  Napi::Value Start(const Napi::CallbackInfo& info) {
    Operation operation(info);
    operation.native = Use();
    if constexpr (kHasOrder<Operation>) {
      return RunAsyncInOrder(info.Env(), this->mapping_order, std::move(operation));
    } else {
      return RunAsync(info.Env(), std::move(operation));
    }
  }

  // No JavaScript runs before the operation is done, so nothing can close the object meanwhile, and a share
  // of its own would cost a tenth of a short call.
  template <typename Operation>
  Napi::Value Finish(const Napi::CallbackInfo& info) {
    Operation operation(info);
    operation.native = std::shared_ptr<Native>(std::shared_ptr<void>(), Use().get());
    if constexpr (kHasOrder<Operation>) this->mapping_order->WaitForAll(operation.Accesses());
    const int status = Run(operation);
    return status < 0 ? Status(info.Env(), status) : operation.Result(info.Env());
  }

  // close(). Calls that are running keep their share.
  Napi::Value Close(const Napi::CallbackInfo& info) {
    native_.reset();
    this->Closed();
    return info.Env().Undefined();
  }

  std::shared_ptr<Native> native_;
  std::shared_ptr<Handles> handles_;  // where it is listed
};
