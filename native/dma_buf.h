// A dma-buf: memory of a device as a file, which the IOMMU can be made to map for other devices.

#pragma once

#include <napi.h>

#include "descriptor.h"
#include "handle.h"

class DmaBuf : public Handle<DmaBuf, const Descriptor> {
 public:
  static constexpr Class kClass = Class::kDmaBuf;
  static constexpr const char* kName = "DmaBuf";

  static Napi::Function Define(Napi::Env env);

  explicit DmaBuf(const Napi::CallbackInfo& info) : Handle(info) {}

 private:
  friend Handle;

  Napi::Value Fd(const Napi::CallbackInfo& info);
};
