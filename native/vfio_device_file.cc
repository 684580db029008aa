#include "vfio_device_file.h"

#include "arguments.h"
#include "iommufd_file.h"
#include "operation.h"
#include "uapi/vfio.h"

namespace {

const VfioDeviceFile::Method<Fd<VfioDeviceFile>> fd("fd");

// bindIommufd(iommufd: IommufdFile): the device id, or -errno.
Napi::Value BindIommufd(VfioDeviceFile& file, const Napi::CallbackInfo& info) {
  auto command = Command<uapi::vfio_device_bind_iommufd>();
  command.iommufd = IommufdFile::FromArgument(info[0], "iommufd")->fd();
  const int status = file.Use()->Ioctl(uapi::VFIO_DEVICE_BIND_IOMMUFD, &command);
  return Answer(info.Env(), status, command.out_devid);
}

const VfioDeviceFile::Method<BindIommufd> bind_iommufd("bindIommufd");

// attachIommufdPt(ptId, pasid?): the id of the page table attached to, or -errno.
struct AttachIommufdPt
    : IoctlOperation<uapi::VFIO_DEVICE_ATTACH_IOMMUFD_PT, uapi::vfio_device_attach_iommufd_pt,
                     &uapi::vfio_device_attach_iommufd_pt::pt_id> {
  explicit AttachIommufdPt(const Napi::CallbackInfo& info) {
    command.pt_id = arguments::Uint32(info[0], "ptId");
    if (info[1].IsUndefined()) return;
    command.flags = uapi::VFIO_DEVICE_ATTACH_PASID;
    command.pasid = arguments::Uint32(info[1], "pasid");
  }
};

const VfioDeviceFile::Both<AttachIommufdPt> attach_iommufd_pt("attachIommufdPt", "attachIommufdPtSync");

// detachIommufdPt(pasid?): undefined, or -errno.
Napi::Value DetachIommufdPt(VfioDeviceFile& file, const Napi::CallbackInfo& info) {
  auto command = Command<uapi::vfio_device_detach_iommufd_pt>();
  if (!info[0].IsUndefined()) {
    command.flags = uapi::VFIO_DEVICE_DETACH_PASID;
    command.pasid = arguments::Uint32(info[0], "pasid");
  }
  return Answer(info.Env(), file.Use()->Ioctl(uapi::VFIO_DEVICE_DETACH_IOMMUFD_PT, &command));
}

const VfioDeviceFile::Method<DetachIommufdPt> detach_iommufd_pt("detachIommufdPt");

// getInfo(): { flags, numRegions, numIrqs }, or -errno.
Napi::Value GetInfo(VfioDeviceFile& file, const Napi::CallbackInfo& info) {
  auto command = Command<uapi::vfio_device_info>();
  const int status = file.Use()->Ioctl(uapi::VFIO_DEVICE_GET_INFO, &command);
  if (status < 0) return Status(info.Env(), status);
  auto result = Napi::Object::New(info.Env());
  result.Set("flags", Napi::Number::New(info.Env(), command.flags));
  result.Set("numRegions", Napi::Number::New(info.Env(), command.num_regions));
  result.Set("numIrqs", Napi::Number::New(info.Env(), command.num_irqs));
  return result;
}

const VfioDeviceFile::Method<GetInfo> get_info("getInfo");

// reset(): undefined, or -errno.
Napi::Value Reset(VfioDeviceFile& file, const Napi::CallbackInfo& info) {
  return Answer(info.Env(), file.Use()->Ioctl(uapi::VFIO_DEVICE_RESET, nullptr));
}

const VfioDeviceFile::Method<Reset> reset("reset");

}  // namespace
