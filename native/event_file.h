// A descriptor that tells of events: that of a fault queue or of a vEVENTQ, which the kernel makes, or an
// eventfd. Reading never blocks: it says that there is nothing.

#pragma once

#include <napi.h>

#include <memory>

#include "descriptor.h"
#include "wait.h"

class EventFile : public Napi::ObjectWrap<EventFile> {
 public:
  static Napi::Function Define(Napi::Env env);

  // createEventFd(): EventFile, or -errno.
  static Napi::Value CreateEventFd(const Napi::CallbackInfo& info);

  // Takes over a descriptor that the kernel has made.
  static Napi::Object Own(Napi::Env env, int fd);

  // The descriptor behind a value that must be an EventFile that is not closed; throws otherwise.
  static std::shared_ptr<const Descriptor> FromArgument(Napi::Value value, const char* name);

  explicit EventFile(const Napi::CallbackInfo& info);

 private:
  std::shared_ptr<const Descriptor> Use() const;

  Napi::Value Close(const Napi::CallbackInfo& info);
  Napi::Value Fd(const Napi::CallbackInfo& info);
  Napi::Value Readable(const Napi::CallbackInfo& info);
  Napi::Value ReadFaults(const Napi::CallbackInfo& info);
  Napi::Value RespondToFault(const Napi::CallbackInfo& info);
  Napi::Value ReadEvents(const Napi::CallbackInfo& info);
  Napi::Value ReadCount(const Napi::CallbackInfo& info);

  std::shared_ptr<const Descriptor> descriptor_;
  Wait* wait_ = nullptr;
};
