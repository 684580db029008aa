// An open VFIO device (/dev/vfio/devices/vfioN), one method per ioctl. The methods are in one file per
// family: vfio_device_region.cc (regions), vfio_device_irq.cc (interrupts), vfio_device_feature.cc
// (VFIO_DEVICE_FEATURE) and vfio_device_file.cc (the rest).

#pragma once

#include <napi.h>

#include <memory>

#include "descriptor.h"
#include "handle.h"

class VfioDeviceFile : public Handle<VfioDeviceFile, const Descriptor> {
 public:
  static constexpr Class kClass = Class::kVfioDeviceFile;
  static constexpr const char* kName = "VfioDeviceFile";

  static Napi::Function Define(Napi::Env env);

  // openVfioDevice(path: string): VfioDeviceFile, or -errno.
  static Napi::Value Open(const Napi::CallbackInfo& info);

  // openVfioDeviceFd(fd: number): VfioDeviceFile on a duplicate of it, or -errno.
  static Napi::Value OpenFd(const Napi::CallbackInfo& info);

  explicit VfioDeviceFile(const Napi::CallbackInfo& info) : Handle(info) {}

 private:
  friend Handle;

  Napi::Value Fd(const Napi::CallbackInfo& info);
  Napi::Value BindIommufd(const Napi::CallbackInfo& info);
  Napi::Value AttachIommufdPt(const Napi::CallbackInfo& info);
  Napi::Value AttachIommufdPtSync(const Napi::CallbackInfo& info);
  Napi::Value DetachIommufdPt(const Napi::CallbackInfo& info);
  Napi::Value GetInfo(const Napi::CallbackInfo& info);
  Napi::Value Reset(const Napi::CallbackInfo& info);

  Napi::Value Feature(const Napi::CallbackInfo& info);
  Napi::Value ExportDmaBuf(const Napi::CallbackInfo& info);
  Napi::Value StartDmaLogging(const Napi::CallbackInfo& info);
  Napi::Value ReportDmaLogging(const Napi::CallbackInfo& info);

  Napi::Value GetIrqInfo(const Napi::CallbackInfo& info);
  Napi::Value SetIrqs(const Napi::CallbackInfo& info);

  Napi::Value GetRegionInfo(const Napi::CallbackInfo& info);
  Napi::Value MapRegion(const Napi::CallbackInfo& info);
  Napi::Value Read(const Napi::CallbackInfo& info);
  Napi::Value Write(const Napi::CallbackInfo& info);
};
