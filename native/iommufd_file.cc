#include "iommufd_file.h"

#include <cerrno>

#include "addon.h"
#include "arguments.h"
#include "operation.h"
#include "uapi/iommufd.h"

namespace {

struct DestroyOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::iommu_destroy command;

  // An address space goes after all calls on it: one that came later would find its id gone, or given to
  // another.
  MappingAccesses Accesses() const { return MappingAccess::All(MappingAccess::Kind::kUnmaps, command.id); }
  int Run() { return descriptor->Ioctl(uapi::IOMMU_DESTROY, &command); }
  Napi::Value Result(Napi::Env env) const { return env.Undefined(); }
};

struct OptionOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::iommu_option command;

  int Run() { return descriptor->Ioctl(uapi::IOMMU_OPTION, &command); }
  Napi::Value Result(Napi::Env env) const { return Napi::BigInt::New(env, command.val64); }
};

struct VfioIoasOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::iommu_vfio_ioas command;

  int Run() { return descriptor->Ioctl(uapi::IOMMU_VFIO_IOAS, &command); }
  Napi::Value Result(Napi::Env env) const { return Napi::Number::New(env, command.ioas_id); }
};

uint16_t Uint16(Napi::Value value, const char* name) {
  const uint32_t number = arguments::Uint32(value, name);
  if (number > UINT16_MAX) arguments::ThrowOutOfRange(value, name, "an integer from 0 to 65535");
  return static_cast<uint16_t>(number);
}

}  // namespace

Napi::Function IommufdFile::Define(Napi::Env env) {
  return DefineClass(env, "IommufdFile",
                     {
                         CloseMethod(),
                         InstanceMethod<&IommufdFile::Fd>("fd"),
                         InstanceMethod<&IommufdFile::Knows>("knows"),
                         InstanceMethod<&IommufdFile::Destroy>("destroy"),
                         InstanceMethod<&IommufdFile::Option>("option"),
                         InstanceMethod<&IommufdFile::VfioIoas>("vfioIoas"),
                         InstanceMethod<&IommufdFile::IoasAlloc>("ioasAlloc"),
                         InstanceMethod<&IommufdFile::IoasAllowIovas>("ioasAllowIovas"),
                         InstanceMethod<&IommufdFile::IoasChangeProcess>("ioasChangeProcess"),
                         InstanceMethod<&IommufdFile::IoasCopy>("ioasCopy"),
                         InstanceMethod<&IommufdFile::IoasCopySync>("ioasCopySync"),
                         InstanceMethod<&IommufdFile::IoasIovaRanges>("ioasIovaRanges"),
                         InstanceMethod<&IommufdFile::IoasMap>("ioasMap"),
                         InstanceMethod<&IommufdFile::IoasMapSync>("ioasMapSync"),
                         InstanceMethod<&IommufdFile::IoasMapMany>("ioasMapMany"),
                         InstanceMethod<&IommufdFile::IoasMapManySync>("ioasMapManySync"),
                         InstanceMethod<&IommufdFile::IoasUnmapMany>("ioasUnmapMany"),
                         InstanceMethod<&IommufdFile::IoasUnmapManySync>("ioasUnmapManySync"),
                         InstanceMethod<&IommufdFile::IoasMapFile>("ioasMapFile"),
                         InstanceMethod<&IommufdFile::IoasMapFileSync>("ioasMapFileSync"),
                         InstanceMethod<&IommufdFile::IoasUnmap>("ioasUnmap"),
                         InstanceMethod<&IommufdFile::IoasUnmapSync>("ioasUnmapSync"),
                         InstanceMethod<&IommufdFile::GetHwInfo>("getHwInfo"),
                         InstanceMethod<&IommufdFile::HwptAlloc>("hwptAlloc"),
                         InstanceMethod<&IommufdFile::HwptAllocSync>("hwptAllocSync"),
                         InstanceMethod<&IommufdFile::HwptSetDirtyTracking>("hwptSetDirtyTracking"),
                         InstanceMethod<&IommufdFile::HwptGetDirtyBitmap>("hwptGetDirtyBitmap"),
                         InstanceMethod<&IommufdFile::HwptGetDirtyBitmapSync>("hwptGetDirtyBitmapSync"),
                         InstanceMethod<&IommufdFile::HwptInvalidate>("hwptInvalidate"),
                         InstanceMethod<&IommufdFile::FaultQueueAlloc>("faultQueueAlloc"),
                         InstanceMethod<&IommufdFile::VeventqAlloc>("veventqAlloc"),
                         InstanceMethod<&IommufdFile::ViommuAlloc>("viommuAlloc"),
                         InstanceMethod<&IommufdFile::VdeviceAlloc>("vdeviceAlloc"),
                         InstanceMethod<&IommufdFile::HwQueueAlloc>("hwQueueAlloc"),
                         InstanceMethod<&IommufdFile::MapRegion>("mapRegion"),
                     });
}

Napi::Value IommufdFile::Open(const Napi::CallbackInfo& info) {
  std::shared_ptr<const Descriptor> descriptor;
  const int status = Descriptor::Open(arguments::Path(info[0], "path"), &descriptor);
  if (status < 0) return Napi::Number::New(info.Env(), status);
  return New(info.Env(), std::move(descriptor));
}

Napi::Value IommufdFile::OpenFd(const Napi::CallbackInfo& info) {
  std::shared_ptr<const Descriptor> descriptor;
  const int status = Descriptor::Duplicate(arguments::Fd(info[0], "fd"), &descriptor);
  if (status < 0) return Napi::Number::New(info.Env(), status);
  return New(info.Env(), std::move(descriptor));
}

std::shared_ptr<const Descriptor> IommufdFile::Borrow() const {
  return std::shared_ptr<const Descriptor>(std::shared_ptr<void>(), Use().get());
}

// destroy(id: number): undefined, or -errno.
Napi::Value IommufdFile::Destroy(const Napi::CallbackInfo& info) {
  uapi::iommu_destroy command = {};
  command.size = sizeof(command);
  command.id = arguments::Uint32(info[0], "id");
  return RunSyncInOrder(info.Env(), *mapping_order_, DestroyOperation{Borrow(), command});
}

// fd(): number. It stays the IommufdFile's to close.
Napi::Value IommufdFile::Fd(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), Use()->fd());
}

// knows(number: number): boolean, or -errno. Whether the kernel knows the ioctl of that number (0x80 to
// 0x9f).
//
// It is issued with a size that is too small for every structure: a kernel that knows it says EINVAL before
// it looks at anything else, one that does not says ENOTTY.
Napi::Value IommufdFile::Knows(const Napi::CallbackInfo& info) {
  const uint32_t number = arguments::Uint32(info[0], "number");
  if (number < 0x80 || number > 0x9f) arguments::ThrowOutOfRange(info[0], "number", "from 0x80 to 0x9f");
  uint32_t size = sizeof(size);
  const int status = Use()->Ioctl(_IO(uapi::kIommufdType, number), &size);
  if (status == -EINVAL) return Napi::Boolean::New(info.Env(), true);
  if (status == -ENOTTY) return Napi::Boolean::New(info.Env(), false);
  return Napi::Number::New(info.Env(), status);
}

// option(optionId, op, objectId, value): the value, or -errno.
Napi::Value IommufdFile::Option(const Napi::CallbackInfo& info) {
  uapi::iommu_option command = {};
  command.size = sizeof(command);
  command.option_id = arguments::Uint32(info[0], "optionId");
  command.op = Uint16(info[1], "op");
  command.object_id = arguments::Uint32(info[2], "objectId");
  command.val64 = arguments::Uint64(info[3], "value");
  return RunSync(info.Env(), OptionOperation{Use(), command});
}

// vfioIoas(op, ioasId): the id, or -errno.
Napi::Value IommufdFile::VfioIoas(const Napi::CallbackInfo& info) {
  uapi::iommu_vfio_ioas command = {};
  command.size = sizeof(command);
  command.op = Uint16(info[0], "op");
  command.ioas_id = arguments::Uint32(info[1], "ioasId");
  return RunSync(info.Env(), VfioIoasOperation{Use(), command});
}
