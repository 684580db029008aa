// IOMMU_FAULT_QUEUE_ALLOC and IOMMU_VEVENTQ_ALLOC: queues of events, each with a descriptor of its own.

#include "arguments.h"
#include "event_file.h"
#include "iommufd_file.h"
#include "operation.h"
#include "uapi/iommufd.h"

namespace {

Napi::Value Queue(Napi::Env env, uint32_t id, uint32_t fd) {
  auto result = Napi::Object::New(env);
  result.Set("file", EventFile::Own(env, static_cast<int>(fd)));
  result.Set("id", Napi::Number::New(env, id));
  return result;
}

struct FaultQueueAllocOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::iommu_fault_alloc command;

  int Run() { return descriptor->Ioctl(uapi::IOMMU_FAULT_QUEUE_ALLOC, &command); }
  Napi::Value Result(Napi::Env env) const { return Queue(env, command.out_fault_id, command.out_fault_fd); }
};

struct VeventqAllocOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::iommu_veventq_alloc command;

  int Run() { return descriptor->Ioctl(uapi::IOMMU_VEVENTQ_ALLOC, &command); }
  Napi::Value Result(Napi::Env env) const {
    return Queue(env, command.out_veventq_id, command.out_veventq_fd);
  }
};

}  // namespace

// faultQueueAlloc(): { id, file: EventFile }, or -errno.
Napi::Value IommufdFile::FaultQueueAlloc(const Napi::CallbackInfo& info) {
  uapi::iommu_fault_alloc command = {};
  command.size = sizeof(command);
  return RunSync(info.Env(), FaultQueueAllocOperation{Use(), command});
}

// veventqAlloc(viommuId, type, depth): { id, file: EventFile }, or -errno.
Napi::Value IommufdFile::VeventqAlloc(const Napi::CallbackInfo& info) {
  uapi::iommu_veventq_alloc command = {};
  command.size = sizeof(command);
  command.viommu_id = arguments::Uint32(info[0], "viommuId");
  command.type = arguments::Uint32(info[1], "type");
  command.veventq_depth = arguments::Uint32(info[2], "depth");
  return RunSync(info.Env(), VeventqAllocOperation{Use(), command});
}
