// The order in which calls that change or read the mappings of an iommufd take effect: that in which
// JavaScript made them, where the order can be told.
//
// Calls on libuv's pool run in parallel and get to the kernel in any order. Two calls conflict where the
// order decides what is mapped afterwards: see Conflict() in mapping_order.cc. The later one of two that
// conflict waits until the earlier one is done; all others run in parallel.
//
// Nothing deadlocks:
// - A place in line is taken on the JavaScript thread, as the last thing before the call is queued. No
//   JavaScript (an async hook, a getter) runs in between, so calls are queued in the order of their places.
// - A call waits for earlier places of its own iommufd only. All calls of one iommufd come from one
//   JavaScript thread, and libuv's pool starts what is queued in order. So whatever a call on the pool waits
//   for has been started before it: it runs, or waits for a still earlier one. The earliest waits for
//   nothing, and an ioctl waits for no JavaScript.
// - A synchronous call waits on the JavaScript thread. It needs no place: as long as it runs, nobody can make
//   another call. The calls that it waits for do not need the JavaScript thread.
// - A place is given up when its call is done; and by its destructor, where the call never ran because its
//   environment ended and libuv cancelled it.

#pragma once

#include <napi.h>
#include <uv.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <type_traits>
#include <utility>

#include "operation.h"

// The effect of a call on a range of IOVAs of an address space.
struct MappingAccess {
  enum class Kind { kMaps, kReads, kUnmaps };

  // The range from `iova` on; cut off at the end of the space. No length counts as one byte.
  static MappingAccess Range(Kind kind, uint32_t ioas_id, uint64_t iova, uint64_t length);

  // All of an address space.
  static MappingAccess All(Kind kind, uint32_t ioas_id) { return {kind, ioas_id, 0, UINT64_MAX}; }

  Kind kind = Kind::kMaps;
  uint32_t ioas_id = 0;
  uint64_t first = 0;
  uint64_t last = 0;
};

// The accesses of a call: at most two, in a copy.
class MappingAccesses {
 public:
  MappingAccesses(MappingAccess access) : accesses_{access}, count_(1) {}  // NOLINT: meant to convert
  MappingAccesses(MappingAccess one, MappingAccess other) : accesses_{one, other}, count_(2) {}

  bool ConflictWith(const MappingAccesses& others) const;

 private:
  std::array<MappingAccess, 2> accesses_;
  size_t count_;
};

// The line of one iommufd.
class MappingOrder {
 public:
  // A place in it, of a call that is to run on the pool.
  class Place {
   public:
    explicit Place(MappingAccesses accesses) : accesses_(accesses) {}
    ~Place() { GiveUp(); }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    // On the JavaScript thread, once.
    void Take(std::shared_ptr<MappingOrder> order);

    // On any thread: until no call before this one conflicts with it.
    void Wait();

    void GiveUp();

   private:
    friend class MappingOrder;

    const MappingAccesses accesses_;
    std::shared_ptr<MappingOrder> order_;
    std::list<Place*>::iterator position_;
  };

  MappingOrder();
  ~MappingOrder();
  MappingOrder(const MappingOrder&) = delete;
  MappingOrder& operator=(const MappingOrder&) = delete;

  // On the JavaScript thread: until no call in line conflicts. It costs nothing where none is in line, for
  // only this thread puts one there.
  void WaitForAll(const MappingAccesses& accesses) {
    if (in_line_.load(std::memory_order_acquire) > 0) WaitForConflicts(accesses);
  }

 private:
  void WaitForConflicts(const MappingAccesses& accesses);

  // libuv's, for those of C++ need a library that is newer than the package may ask for (GLIBCXX_3.4.30).
  uv_mutex_t mutex_;
  uv_cond_t given_up_;
  std::list<Place*> line_;
  std::atomic<size_t> in_line_ = 0;  // how long it is
};

// Whether an operation has to run in order: then it lists its accesses.
template <typename Operation, typename = void>
constexpr bool kHasOrder = false;

template <typename Operation>
constexpr bool kHasOrder<Operation, std::void_t<decltype(&Operation::Accesses)>> = true;

// An operation that runs in its turn.
template <typename Operation>
struct OrderedOperation {
  std::unique_ptr<MappingOrder::Place> place;
  Operation operation;

  int Run() {
    place->Wait();
    const int status = operation.Run();
    // Not when JavaScript has been told, which may be much later.
    place->GiveUp();
    return status;
  }
  Napi::Value Result(Napi::Env env) const { return operation.Result(env); }
};

template <typename Operation>
Napi::Value RunAsyncInOrder(Napi::Env env, std::shared_ptr<MappingOrder> order, Operation operation) {
  auto place = std::make_unique<MappingOrder::Place>(operation.Accesses());
  auto* const taking = place.get();
  using Ordered = OrderedOperation<Operation>;
  return RunAsync(env, Ordered{std::move(place), std::move(operation)},
                  [&] { taking->Take(std::move(order)); });
}
