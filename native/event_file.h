// A descriptor for events: a fault queue or a vEVENTQ, which the kernel makes, or an eventfd. Reading never
// blocks: it says that there is nothing.

#pragma once

#include "file.h"

struct EventFileState : WaitableFileState {
  static constexpr Class kClass = Class::kEventFile;
  static constexpr const char* kName = "EventFile";
};

using EventFile = Handle<EventFileState>;

// createEventFd(): EventFile, or -errno.
Napi::Value CreateEventFd(const Napi::CallbackInfo& info);
