// What the addon keeps per JavaScript environment: each worker thread that loads it has its own.

#pragma once

#include <napi.h>

struct Addon {
  Napi::FunctionReference dma_memory;
  Napi::FunctionReference event_file;
  Napi::FunctionReference iommufd_file;
  Napi::FunctionReference mapped_region;
  Napi::FunctionReference unix_socket;
  Napi::FunctionReference vfio_device_file;

  static Addon& Of(Napi::Env env) { return *env.GetInstanceData<Addon>(); }
};

// Instances are made only by the addon: a constructor takes the native part as an external value, which
// JavaScript cannot make.
template <typename Native>
Napi::Object Construct(const Napi::FunctionReference& constructor, Napi::Env env, Native* native) {
  return constructor.New({Napi::External<Native>::New(env, native)});
}
