// IOMMU_FAULT_QUEUE_ALLOC and IOMMU_VEVENTQ_ALLOC: queues of events, each with a descriptor of its own.

#include "arguments.h"
#include "event_file.h"
#include "iommufd_file.h"
#include "operation.h"
#include "uapi/iommufd.h"

namespace {

// { id, file: EventFile }, or -errno.
Napi::Value Queue(Napi::Env env, int status, uint32_t id, uint32_t fd) {
  if (status < 0) return Status(env, status);
  auto file = Own<EventFile>(env, static_cast<int>(fd));
  auto result = Napi::Object::New(env);
  result.Set("file", file);
  result.Set("id", Napi::Number::New(env, id));
  return result;
}

// faultQueueAlloc(): { id, file: EventFile }, or -errno.
Napi::Value FaultQueueAlloc(IommufdFile& file, const Napi::CallbackInfo& info) {
  auto command = Command<uapi::iommu_fault_alloc>();
  const int status = file.Use()->Ioctl(uapi::IOMMU_FAULT_QUEUE_ALLOC, &command);
  return Queue(info.Env(), status, command.out_fault_id, command.out_fault_fd);
}

const IommufdFile::Method<FaultQueueAlloc> fault_queue_alloc("faultQueueAlloc");

// veventqAlloc(viommuId, type, depth): { id, file: EventFile }, or -errno.
Napi::Value VeventqAlloc(IommufdFile& file, const Napi::CallbackInfo& info) {
  auto command = Command<uapi::iommu_veventq_alloc>();
  command.viommu_id = arguments::Uint32(info[0], "viommuId");
  command.type = arguments::Uint32(info[1], "type");
  command.veventq_depth = arguments::Uint32(info[2], "depth");
  const int status = file.Use()->Ioctl(uapi::IOMMU_VEVENTQ_ALLOC, &command);
  return Queue(info.Env(), status, command.out_veventq_id, command.out_veventq_fd);
}

const IommufdFile::Method<VeventqAlloc> veventq_alloc("veventqAlloc");

}  // namespace
