#include "mapping_order.h"

namespace {

class Lock {
 public:
  explicit Lock(uv_mutex_t* mutex) : mutex_(mutex) { uv_mutex_lock(mutex_); }
  ~Lock() { uv_mutex_unlock(mutex_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  uv_mutex_t* const mutex_;
};

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

MappingOrder::MappingOrder() {
  uv_mutex_init(&mutex_);
  uv_cond_init(&given_up_);
}

MappingOrder::~MappingOrder() {
  uv_cond_destroy(&given_up_);
  uv_mutex_destroy(&mutex_);
}

void MappingOrder::Place::Take(std::shared_ptr<MappingOrder> order) {
  const Lock lock(&order->mutex_);
  position_ = order->line_.insert(order->line_.end(), this);
  order->in_line_++;
  order_ = std::move(order);
}

void MappingOrder::Place::Wait() {
  const Lock lock(&order_->mutex_);
  for (auto it = order_->line_.begin(); it != position_;) {
    if (accesses_.ConflictWith((*it)->accesses_)) {
      uv_cond_wait(&order_->given_up_, &order_->mutex_);
      it = order_->line_.begin();
    } else {
      ++it;
    }
  }
}

void MappingOrder::Place::GiveUp() {
  if (!order_) return;
  {
    const Lock lock(&order_->mutex_);
    order_->line_.erase(position_);
    order_->in_line_--;
    uv_cond_broadcast(&order_->given_up_);
  }
  order_.reset();
}

void MappingOrder::WaitForConflicts(const MappingAccesses& accesses) {
  const Lock lock(&mutex_);
  for (auto it = line_.begin(); it != line_.end();) {
    if (accesses.ConflictWith((*it)->accesses_)) {
      uv_cond_wait(&given_up_, &mutex_);
      it = line_.begin();
    } else {
      ++it;
    }
  }
}
