// IOMMU_VIOMMU_ALLOC, IOMMU_VDEVICE_ALLOC and IOMMU_HW_QUEUE_ALLOC: the part of an IOMMU that a guest is
// given.

#include <sys/mman.h>

#include <vector>

#include "arguments.h"
#include "iommufd_file.h"
#include "operation.h"
#include "pages.h"
#include "uapi/iommufd.h"

namespace {

// viommuAlloc(deviceId, hwptId, type, data: Uint8Array): { id, data }, or -errno.
Napi::Value ViommuAlloc(IommufdFile& file, const Napi::CallbackInfo& info) {
  auto command = Command<uapi::iommu_viommu_alloc>();
  command.dev_id = arguments::Uint32(info[0], "deviceId");
  command.hwpt_id = arguments::Uint32(info[1], "hwptId");
  command.type = arguments::Uint32(info[2], "type");
  auto data = arguments::CopyBytes(info[3], "data");  // the driver's own structure, which it may write to
  command.data_len = static_cast<uint32_t>(data.size());
  command.data_uptr = reinterpret_cast<uintptr_t>(data.data());
  const int status = file.Use()->Ioctl(uapi::IOMMU_VIOMMU_ALLOC, &command);
  if (status < 0) return Status(info.Env(), status);
  auto result = Napi::Object::New(info.Env());
  result.Set("id", Napi::Number::New(info.Env(), command.out_viommu_id));
  result.Set("data", arguments::NewBytes(info.Env(), data));
  return result;
}

const IommufdFile::Method<ViommuAlloc> viommu_alloc("viommuAlloc");

// vdeviceAlloc(viommuId, deviceId, virtId): the id, or -errno.
Napi::Value VdeviceAlloc(IommufdFile& file, const Napi::CallbackInfo& info) {
  auto command = Command<uapi::iommu_vdevice_alloc>();
  command.viommu_id = arguments::Uint32(info[0], "viommuId");
  command.dev_id = arguments::Uint32(info[1], "deviceId");
  command.virt_id = arguments::Uint64(info[2], "virtId");
  const int status = file.Use()->Ioctl(uapi::IOMMU_VDEVICE_ALLOC, &command);
  return Answer(info.Env(), status, command.out_vdevice_id);
}

const IommufdFile::Method<VdeviceAlloc> vdevice_alloc("vdeviceAlloc");

// hwQueueAlloc(viommuId, type, index, iova, length): the id, or -errno.
Napi::Value HwQueueAlloc(IommufdFile& file, const Napi::CallbackInfo& info) {
  auto command = Command<uapi::iommu_hw_queue_alloc>();
  command.viommu_id = arguments::Uint32(info[0], "viommuId");
  command.type = arguments::Uint32(info[1], "type");
  command.index = arguments::Uint32(info[2], "index");
  command.nesting_parent_iova = arguments::Uint64(info[3], "iova");
  command.length = arguments::Uint64(info[4], "length");
  const int status = file.Use()->Ioctl(uapi::IOMMU_HW_QUEUE_ALLOC, &command);
  return Answer(info.Env(), status, command.out_hw_queue_id);
}

const IommufdFile::Method<HwQueueAlloc> hw_queue_alloc("hwQueueAlloc");

// mapRegion(position: bigint, length: bigint): MappedRegion, or -errno. The registers that a vIOMMU offers
// for mapping; its driver says where they are.
Napi::Value MapRegion(IommufdFile& file, const Napi::CallbackInfo& info) {
  return MapRegionOf(file.Use(), info, PROT_READ | PROT_WRITE);
}

const IommufdFile::Method<MapRegion> map_region("mapRegion");

}  // namespace
