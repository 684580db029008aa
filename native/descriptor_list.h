// Duplicates of descriptors that are somebody else's, for as long as a message with them waits to be sent:
// the caller may close his own meanwhile, and their numbers may be given to other files.

#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "descriptor.h"
#include "handle.h"

using Descriptors = std::vector<std::shared_ptr<const Descriptor>>;

class DescriptorList : public Handle<DescriptorList, const Descriptors> {
 public:
  static constexpr Class kClass = Class::kDescriptorList;
  static constexpr const char* kName = "DescriptorList";

  // The most descriptors that Linux passes in one message (SCM_MAX_FD).
  static constexpr size_t kMaxLength = 253;

  static Napi::Function Define(Napi::Env env);

  // duplicateDescriptors(fds: number[]): DescriptorList, or -errno.
  static Napi::Value Duplicate(const Napi::CallbackInfo& info);

  explicit DescriptorList(const Napi::CallbackInfo& info) : Handle(info) {}

 private:
  friend Handle;
};
