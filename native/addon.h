// What the addon keeps per JavaScript environment: each worker thread that loads it has its own.

#pragma once

#include <napi.h>

#include <memory>
#include <unordered_set>

class DmaMemory;

using DmaMemories = std::unordered_set<const DmaMemory*>;

struct Addon {
  Napi::FunctionReference dma_memory;
  Napi::FunctionReference event_file;
  Napi::FunctionReference iommufd_file;
  Napi::FunctionReference mapped_region;
  Napi::FunctionReference unix_socket;
  Napi::FunctionReference vfio_device_file;

  // The memories that there are, by which an argument is told to be one: cheaper than a type tag, on the path
  // of every mapping. Each has a share, because at the end of an environment nothing says who goes first.
  std::shared_ptr<DmaMemories> memories = std::make_shared<DmaMemories>();

  static Addon& Of(Napi::Env env) { return *env.GetInstanceData<Addon>(); }
};

// Instances are made only by the addon: a constructor takes the native part as an external value, which
// JavaScript cannot make.
template <typename Native>
Napi::Object Construct(const Napi::FunctionReference& constructor, Napi::Env env, Native* native) {
  return constructor.New({Napi::External<Native>::New(env, native)});
}
