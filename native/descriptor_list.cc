#include "descriptor_list.h"

#include "arguments.h"
#include "operation.h"

Napi::Value DuplicateDescriptors(const Napi::CallbackInfo& info) {
  if (!info[0].IsArray()) arguments::ThrowInvalidType(info[0], "fds", "an array");
  const auto list = info[0].As<Napi::Array>();
  // Read once: a getter in the list could make it longer meanwhile, and a message has room for no more.
  const uint32_t count = list.Length();
  if (count > kMaxDescriptors) arguments::ThrowOutOfRange(info[0], "fds", "at most 253 descriptors");
  auto descriptors = std::make_shared<Descriptors>();
  for (uint32_t i = 0; i < count; i++) {
    std::shared_ptr<const Descriptor> descriptor;
    const int status = Descriptor::Duplicate(arguments::Fd(list.Get(i), "fds"), &descriptor);
    if (status < 0) return Status(info.Env(), status);
    descriptors->push_back(std::move(descriptor));
  }
  return DescriptorList::New(info.Env(), std::move(descriptors));
}
