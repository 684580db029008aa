// The state of the addon per JavaScript environment: each worker thread that loads it has its own.

#pragma once

#include <napi.h>

#include <array>
#include <cstddef>
#include <memory>
#include <unordered_map>
#include <utility>

// The classes of objects that the addon makes.
enum class Class {
  kDescriptorList,
  kDmaBuf,
  kDmaMemory,
  kEventFile,
  kIommufdFile,
  kMappedRegion,
  kUnixSocket,
  kVfioDeviceFile
};
constexpr size_t kClassCount = 8;

// The objects that there are, by which an argument is known to be one: cheaper than a type tag, on the path
// of every mapping.
class Handles {
 public:
  void Add(const void* handle, Class kind) { kinds_.emplace(handle, kind); }
  void Remove(const void* handle) { kinds_.erase(handle); }

  bool Contains(const void* handle, Class kind) const {
    const auto found = kinds_.find(handle);
    return found != kinds_.end() && found->second == kind;
  }

 private:
  std::unordered_map<const void*, Class> kinds_;
};

struct Addon {
  std::array<Napi::FunctionReference, kClassCount> constructors;

  // Each object has a share, because at the end of an environment nothing says who goes first.
  std::shared_ptr<Handles> handles = std::make_shared<Handles>();

  static Addon& Of(Napi::Env env) { return *env.GetInstanceData<Addon>(); }

  // While it lives, one constructor finds a native part: the way in which only the addon makes objects.
  class Making {
   public:
    Making(Addon* addon, Class kind, void* native) : addon_(addon) {
      addon->making_kind_ = kind;
      addon->making_ = native;
    }
    ~Making() { addon_->making_ = nullptr; }
    Making(const Making&) = delete;
    Making& operator=(const Making&) = delete;

   private:
    Addon* const addon_;
  };

  // The native part for an object of that class, once; null where the addon is not making one.
  void* TakeMaking(Class kind) { return making_kind_ == kind ? std::exchange(making_, nullptr) : nullptr; }

 private:
  Class making_kind_ = Class::kDmaMemory;
  void* making_ = nullptr;
};
