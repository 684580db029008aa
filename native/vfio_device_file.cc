#include "vfio_device_file.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "addon.h"
#include "arguments.h"
#include "iommufd_file.h"
#include "operation.h"
#include "uapi/vfio.h"

namespace {

struct BindIommufdOperation {
  std::shared_ptr<const Descriptor> descriptor;
  std::shared_ptr<const Descriptor> iommufd;
  uapi::vfio_device_bind_iommufd command;

  int Run() {
    command.iommufd = iommufd->fd();
    return descriptor->Ioctl(uapi::VFIO_DEVICE_BIND_IOMMUFD, &command);
  }
  Napi::Value Result(Napi::Env env) const { return Napi::Number::New(env, command.out_devid); }
};

struct AttachIommufdPtOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::vfio_device_attach_iommufd_pt command;

  // attachIommufdPt(ptId, pasid?)
  static AttachIommufdPtOperation From(const Napi::CallbackInfo& info,
                                       std::shared_ptr<const Descriptor> descriptor) {
    uapi::vfio_device_attach_iommufd_pt command = {};
    command.argsz = sizeof(command);
    command.pt_id = arguments::Uint32(info[0], "ptId");
    if (!info[1].IsUndefined()) {
      command.flags = uapi::VFIO_DEVICE_ATTACH_PASID;
      command.pasid = arguments::Uint32(info[1], "pasid");
    }
    return {std::move(descriptor), command};
  }

  int Run() { return descriptor->Ioctl(uapi::VFIO_DEVICE_ATTACH_IOMMUFD_PT, &command); }
  Napi::Value Result(Napi::Env env) const { return Napi::Number::New(env, command.pt_id); }
};

struct DetachIommufdPtOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::vfio_device_detach_iommufd_pt command;

  int Run() { return descriptor->Ioctl(uapi::VFIO_DEVICE_DETACH_IOMMUFD_PT, &command); }
  Napi::Value Result(Napi::Env env) const { return env.Undefined(); }
};

struct GetInfoOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::vfio_device_info command;

  int Run() { return descriptor->Ioctl(uapi::VFIO_DEVICE_GET_INFO, &command); }
  Napi::Value Result(Napi::Env env) const {
    auto result = Napi::Object::New(env);
    result.Set("flags", Napi::Number::New(env, command.flags));
    result.Set("numRegions", Napi::Number::New(env, command.num_regions));
    result.Set("numIrqs", Napi::Number::New(env, command.num_irqs));
    return result;
  }
};

struct ResetOperation {
  std::shared_ptr<const Descriptor> descriptor;

  int Run() { return descriptor->Ioctl(uapi::VFIO_DEVICE_RESET, nullptr); }
  Napi::Value Result(Napi::Env env) const { return env.Undefined(); }
};

}  // namespace

Napi::Function VfioDeviceFile::Define(Napi::Env env) {
  return DefineClass(env, "VfioDeviceFile",
                     {
                         CloseMethod(),
                         InstanceMethod<&VfioDeviceFile::Fd>("fd"),
                         InstanceMethod<&VfioDeviceFile::BindIommufd>("bindIommufd"),
                         InstanceMethod<&VfioDeviceFile::AttachIommufdPt>("attachIommufdPt"),
                         InstanceMethod<&VfioDeviceFile::AttachIommufdPtSync>("attachIommufdPtSync"),
                         InstanceMethod<&VfioDeviceFile::DetachIommufdPt>("detachIommufdPt"),
                         InstanceMethod<&VfioDeviceFile::GetInfo>("getInfo"),
                         InstanceMethod<&VfioDeviceFile::Reset>("reset"),
                         InstanceMethod<&VfioDeviceFile::Feature>("feature"),
                         InstanceMethod<&VfioDeviceFile::ExportDmaBuf>("exportDmaBuf"),
                         InstanceMethod<&VfioDeviceFile::StartDmaLogging>("startDmaLogging"),
                         InstanceMethod<&VfioDeviceFile::ReportDmaLogging>("reportDmaLogging"),
                         InstanceMethod<&VfioDeviceFile::GetIrqInfo>("getIrqInfo"),
                         InstanceMethod<&VfioDeviceFile::SetIrqs>("setIrqs"),
                         InstanceMethod<&VfioDeviceFile::GetRegionInfo>("getRegionInfo"),
                         InstanceMethod<&VfioDeviceFile::MapRegion>("mapRegion"),
                         InstanceMethod<&VfioDeviceFile::Read>("read"),
                         InstanceMethod<&VfioDeviceFile::Write>("write"),
                     });
}

Napi::Value VfioDeviceFile::Open(const Napi::CallbackInfo& info) {
  std::shared_ptr<const Descriptor> descriptor;
  const int status = Descriptor::Open(arguments::Path(info[0], "path"), &descriptor);
  if (status < 0) return Napi::Number::New(info.Env(), status);
  return New(info.Env(), std::move(descriptor));
}

Napi::Value VfioDeviceFile::OpenFd(const Napi::CallbackInfo& info) {
  std::shared_ptr<const Descriptor> descriptor;
  const int status = Descriptor::Duplicate(arguments::Fd(info[0], "fd"), &descriptor);
  if (status < 0) return Napi::Number::New(info.Env(), status);
  return New(info.Env(), std::move(descriptor));
}

// fd(): number. It stays the VfioDeviceFile's to close.
Napi::Value VfioDeviceFile::Fd(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), Use()->fd());
}

// bindIommufd(iommufd: IommufdFile): the device id, or -errno.
Napi::Value VfioDeviceFile::BindIommufd(const Napi::CallbackInfo& info) {
  uapi::vfio_device_bind_iommufd command = {};
  command.argsz = sizeof(command);
  return RunSync(info.Env(),
                 BindIommufdOperation{Use(), IommufdFile::FromArgument(info[0], "iommufd"), command});
}

// attachIommufdPt(ptId, pasid?): the id of the page table attached to, or -errno.
Napi::Value VfioDeviceFile::AttachIommufdPt(const Napi::CallbackInfo& info) {
  return RunAsync(info.Env(), AttachIommufdPtOperation::From(info, Use()));
}

Napi::Value VfioDeviceFile::AttachIommufdPtSync(const Napi::CallbackInfo& info) {
  return RunSync(info.Env(), AttachIommufdPtOperation::From(info, Use()));
}

// detachIommufdPt(pasid?): undefined, or -errno.
Napi::Value VfioDeviceFile::DetachIommufdPt(const Napi::CallbackInfo& info) {
  uapi::vfio_device_detach_iommufd_pt command = {};
  command.argsz = sizeof(command);
  if (!info[0].IsUndefined()) {
    command.flags = uapi::VFIO_DEVICE_DETACH_PASID;
    command.pasid = arguments::Uint32(info[0], "pasid");
  }
  return RunSync(info.Env(), DetachIommufdPtOperation{Use(), command});
}

// getInfo(): { flags, numRegions, numIrqs }, or -errno.
Napi::Value VfioDeviceFile::GetInfo(const Napi::CallbackInfo& info) {
  uapi::vfio_device_info command = {};
  command.argsz = sizeof(command);
  return RunSync(info.Env(), GetInfoOperation{Use(), command});
}

// reset(): undefined, or -errno.
Napi::Value VfioDeviceFile::Reset(const Napi::CallbackInfo& info) {
  return RunSync(info.Env(), ResetOperation{Use()});
}
