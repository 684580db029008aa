// IOMMU_VIOMMU_ALLOC, IOMMU_VDEVICE_ALLOC and IOMMU_HW_QUEUE_ALLOC: the part of an IOMMU that a guest is
// given.

#include <sys/mman.h>

#include <vector>

#include "addon.h"
#include "arguments.h"
#include "iommufd_file.h"
#include "operation.h"
#include "pages.h"
#include "uapi/iommufd.h"

namespace {

struct ViommuAllocOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::iommu_viommu_alloc command;
  std::vector<uint8_t> data;  // the driver's own structure, which it may write to

  int Run() {
    command.data_len = static_cast<uint32_t>(data.size());
    command.data_uptr = reinterpret_cast<uintptr_t>(data.data());
    return descriptor->Ioctl(uapi::IOMMU_VIOMMU_ALLOC, &command);
  }
  Napi::Value Result(Napi::Env env) const {
    auto result = Napi::Object::New(env);
    result.Set("id", Napi::Number::New(env, command.out_viommu_id));
    result.Set("data", arguments::NewBytes(env, data));
    return result;
  }
};

struct VdeviceAllocOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::iommu_vdevice_alloc command;

  int Run() { return descriptor->Ioctl(uapi::IOMMU_VDEVICE_ALLOC, &command); }
  Napi::Value Result(Napi::Env env) const { return Napi::Number::New(env, command.out_vdevice_id); }
};

struct HwQueueAllocOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::iommu_hw_queue_alloc command;

  int Run() { return descriptor->Ioctl(uapi::IOMMU_HW_QUEUE_ALLOC, &command); }
  Napi::Value Result(Napi::Env env) const { return Napi::Number::New(env, command.out_hw_queue_id); }
};

}  // namespace

// viommuAlloc(deviceId, hwptId, type, data: Uint8Array): { id, data }, or -errno.
Napi::Value IommufdFile::ViommuAlloc(const Napi::CallbackInfo& info) {
  uapi::iommu_viommu_alloc command = {};
  command.size = sizeof(command);
  command.dev_id = arguments::Uint32(info[0], "deviceId");
  command.hwpt_id = arguments::Uint32(info[1], "hwptId");
  command.type = arguments::Uint32(info[2], "type");
  auto data = arguments::CopyBytes(info[3], "data");
  return RunSync(info.Env(), ViommuAllocOperation{Use(), command, std::move(data)});
}

// vdeviceAlloc(viommuId, deviceId, virtId): the id, or -errno.
Napi::Value IommufdFile::VdeviceAlloc(const Napi::CallbackInfo& info) {
  uapi::iommu_vdevice_alloc command = {};
  command.size = sizeof(command);
  command.viommu_id = arguments::Uint32(info[0], "viommuId");
  command.dev_id = arguments::Uint32(info[1], "deviceId");
  command.virt_id = arguments::Uint64(info[2], "virtId");
  return RunSync(info.Env(), VdeviceAllocOperation{Use(), command});
}

// hwQueueAlloc(viommuId, type, index, iova, length): the id, or -errno.
Napi::Value IommufdFile::HwQueueAlloc(const Napi::CallbackInfo& info) {
  uapi::iommu_hw_queue_alloc command = {};
  command.size = sizeof(command);
  command.viommu_id = arguments::Uint32(info[0], "viommuId");
  command.type = arguments::Uint32(info[1], "type");
  command.index = arguments::Uint32(info[2], "index");
  command.nesting_parent_iova = arguments::Uint64(info[3], "iova");
  command.length = arguments::Uint64(info[4], "length");
  return RunSync(info.Env(), HwQueueAllocOperation{Use(), command});
}

// mapRegion(position: bigint, length: bigint): MappedRegion, or -errno. What a vIOMMU offers for mapping,
// which its driver tells the place of.
Napi::Value IommufdFile::MapRegion(const Napi::CallbackInfo& info) {
  return MappedRegion::Map(info, Use(), PROT_READ | PROT_WRITE);
}
