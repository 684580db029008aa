// Duplicates of descriptors that are somebody else's, for as long as a message with them waits to be sent:
// the caller may close his own meanwhile, and their numbers may be given to other files.

#pragma once

#include <memory>
#include <vector>

#include "descriptor.h"
#include "handle.h"

using Descriptors = std::vector<std::shared_ptr<const Descriptor>>;

// The most descriptors that Linux passes in one message (SCM_MAX_FD).
constexpr size_t kMaxDescriptors = 253;

struct DescriptorListState : HandleState {
  static constexpr Class kClass = Class::kDescriptorList;
  static constexpr const char* kName = "DescriptorList";
  using Native = const Descriptors;
};

using DescriptorList = Handle<DescriptorListState>;

// duplicateDescriptors(fds: number[]): DescriptorList, or -errno.
Napi::Value DuplicateDescriptors(const Napi::CallbackInfo& info);
