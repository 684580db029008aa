// A descriptor that tells of events: that of a fault queue or of a vEVENTQ, which the kernel makes, or an
// eventfd. Reading never blocks: it says that there is nothing.

#pragma once

#include <napi.h>

#include <memory>

#include "descriptor.h"
#include "handle.h"
#include "wait.h"

class EventFile : public Handle<EventFile, const Descriptor> {
 public:
  static constexpr Class kClass = Class::kEventFile;
  static constexpr const char* kName = "EventFile";

  static Napi::Function Define(Napi::Env env);

  // createEventFd(): EventFile, or -errno.
  static Napi::Value CreateEventFd(const Napi::CallbackInfo& info);

  // Takes over a descriptor that the kernel has made.
  static Napi::Object Own(Napi::Env env, int fd);

  explicit EventFile(const Napi::CallbackInfo& info) : Handle(info) {}

 private:
  friend Handle;

  Napi::Value CloseWait(const Napi::CallbackInfo& info);
  Napi::Value Fd(const Napi::CallbackInfo& info);
  Napi::Value Readable(const Napi::CallbackInfo& info);
  Napi::Value ReadFaults(const Napi::CallbackInfo& info);
  Napi::Value RespondToFault(const Napi::CallbackInfo& info);
  Napi::Value ReadEvents(const Napi::CallbackInfo& info);
  Napi::Value ReadCount(const Napi::CallbackInfo& info);

  Wait* wait_ = nullptr;
};
