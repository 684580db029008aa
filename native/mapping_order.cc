#include "mapping_order.h"

namespace {

// Unmapping conflicts with whatever overlaps it. Reading, which is copying from there, conflicts with mapping
// too, which fills the gaps that copying fails at. Calls that map do not conflict with each other, nor do
// those that read: they are what one wants to run in parallel.
bool Conflict(const MappingAccess& one, const MappingAccess& other) {
  if (one.ioas_id != other.ioas_id || one.first > other.last || other.first > one.last) return false;
  return one.kind != other.kind || one.kind == MappingAccess::Kind::kUnmaps;
}

}  // namespace

MappingAccess MappingAccess::Range(Kind kind, uint32_t ioas_id, uint64_t iova, uint64_t length) {
  const uint64_t more = length == 0 ? 0 : length - 1;
  return {kind, ioas_id, iova, more > UINT64_MAX - iova ? UINT64_MAX : iova + more};
}

bool MappingAccesses::ConflictWith(const MappingAccesses& others) const {
  for (size_t i = 0; i < count_; i++) {
    for (size_t j = 0; j < others.count_; j++) {
      if (Conflict(accesses_[i], others.accesses_[j])) return true;
    }
  }
  return false;
}

void MappingOrder::Place::Take(std::shared_ptr<MappingOrder> order) {
  const std::lock_guard<std::mutex> lock(order->mutex_);
  position_ = order->line_.insert(order->line_.end(), this);
  order_ = std::move(order);
}

void MappingOrder::Place::Wait() {
  std::unique_lock<std::mutex> lock(order_->mutex_);
  order_->given_up_.wait(lock, [this] {
    for (auto it = order_->line_.begin(); it != position_; ++it) {
      if (accesses_.ConflictWith((*it)->accesses_)) return false;
    }
    return true;
  });
}

void MappingOrder::Place::GiveUp() {
  if (!order_) return;
  {
    const std::lock_guard<std::mutex> lock(order_->mutex_);
    order_->line_.erase(position_);
  }
  order_->given_up_.notify_all();
  order_.reset();
}

void MappingOrder::WaitForAll(const MappingAccesses& accesses) {
  std::unique_lock<std::mutex> lock(mutex_);
  given_up_.wait(lock, [&] {
    for (const auto* place : line_) {
      if (accesses.ConflictWith(place->accesses_)) return false;
    }
    return true;
  });
}
