// An open /dev/iommu, one method per ioctl. The methods are in one file per family of objects:
// iommufd_ioas.cc (IOMMU_IOAS_*), iommufd_ioas_batch.cc (many mappings in one call), iommufd_hwpt.cc
// (IOMMU_HWPT_*, IOMMU_GET_HW_INFO), iommufd_viommu.cc (IOMMU_VIOMMU_ALLOC and what belongs to one),
// iommufd_eventq.cc (fault and event queues) and iommufd_file.cc (the rest).

#pragma once

#include <napi.h>

#include <memory>

#include "descriptor.h"
#include "handle.h"
#include "mapping_order.h"

class IommufdFile : public Handle<IommufdFile, const Descriptor> {
 public:
  static constexpr Class kClass = Class::kIommufdFile;
  static constexpr const char* kName = "IommufdFile";

  static Napi::Function Define(Napi::Env env);

  // openIommufd(path: string): IommufdFile, or -errno.
  static Napi::Value Open(const Napi::CallbackInfo& info);

  // openIommufdFd(fd: number): IommufdFile on a duplicate of it, or -errno.
  static Napi::Value OpenFd(const Napi::CallbackInfo& info);

  explicit IommufdFile(const Napi::CallbackInfo& info) : Handle(info) {}

 private:
  friend Handle;

  // The descriptor without a share of its own, which costs as much as a tenth of a short call. For calls on
  // this thread that run no JavaScript before they are done, so that nothing can close the descriptor
  // meanwhile.
  std::shared_ptr<const Descriptor> Borrow() const;

  Napi::Value Fd(const Napi::CallbackInfo& info);
  Napi::Value Knows(const Napi::CallbackInfo& info);
  Napi::Value Destroy(const Napi::CallbackInfo& info);
  Napi::Value Option(const Napi::CallbackInfo& info);
  Napi::Value VfioIoas(const Napi::CallbackInfo& info);

  Napi::Value IoasAlloc(const Napi::CallbackInfo& info);
  Napi::Value IoasAllowIovas(const Napi::CallbackInfo& info);
  Napi::Value IoasChangeProcess(const Napi::CallbackInfo& info);
  Napi::Value IoasCopy(const Napi::CallbackInfo& info);
  Napi::Value IoasCopySync(const Napi::CallbackInfo& info);
  Napi::Value IoasIovaRanges(const Napi::CallbackInfo& info);
  Napi::Value IoasMap(const Napi::CallbackInfo& info);
  Napi::Value IoasMapSync(const Napi::CallbackInfo& info);
  Napi::Value IoasMapMany(const Napi::CallbackInfo& info);
  Napi::Value IoasMapManySync(const Napi::CallbackInfo& info);
  Napi::Value IoasUnmapMany(const Napi::CallbackInfo& info);
  Napi::Value IoasUnmapManySync(const Napi::CallbackInfo& info);
  Napi::Value IoasMapFile(const Napi::CallbackInfo& info);
  Napi::Value IoasMapFileSync(const Napi::CallbackInfo& info);
  Napi::Value IoasUnmap(const Napi::CallbackInfo& info);
  Napi::Value IoasUnmapSync(const Napi::CallbackInfo& info);

  Napi::Value GetHwInfo(const Napi::CallbackInfo& info);
  Napi::Value HwptAlloc(const Napi::CallbackInfo& info);
  Napi::Value HwptAllocSync(const Napi::CallbackInfo& info);
  Napi::Value HwptSetDirtyTracking(const Napi::CallbackInfo& info);
  Napi::Value HwptGetDirtyBitmap(const Napi::CallbackInfo& info);
  Napi::Value HwptGetDirtyBitmapSync(const Napi::CallbackInfo& info);
  Napi::Value HwptInvalidate(const Napi::CallbackInfo& info);

  Napi::Value FaultQueueAlloc(const Napi::CallbackInfo& info);
  Napi::Value VeventqAlloc(const Napi::CallbackInfo& info);
  Napi::Value ViommuAlloc(const Napi::CallbackInfo& info);
  Napi::Value VdeviceAlloc(const Napi::CallbackInfo& info);
  Napi::Value HwQueueAlloc(const Napi::CallbackInfo& info);
  Napi::Value MapRegion(const Napi::CallbackInfo& info);

  const std::shared_ptr<MappingOrder> mapping_order_ = std::make_shared<MappingOrder>();
};
