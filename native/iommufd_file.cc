#include "iommufd_file.h"

#include "addon.h"
#include "arguments.h"
#include "operation.h"
#include "uapi/iommufd.h"

namespace {

constexpr napi_type_tag kIommufdFileTag = {0x9b27d40e5f8143ac, 0xb6f10c7d2ae83955};

struct DestroyOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::iommu_destroy command;

  int Run() { return descriptor->Ioctl(uapi::IOMMU_DESTROY, &command); }
  Napi::Value Result(Napi::Env env) const { return env.Undefined(); }
};

}  // namespace

Napi::Function IommufdFile::Define(Napi::Env env) {
  return DefineClass(env, "IommufdFile",
                     {
                         InstanceMethod<&IommufdFile::Close>("close"),
                         InstanceMethod<&IommufdFile::Destroy>("destroy"),
                         InstanceMethod<&IommufdFile::IoasAlloc>("ioasAlloc"),
                         InstanceMethod<&IommufdFile::IoasIovaRanges>("ioasIovaRanges"),
                         InstanceMethod<&IommufdFile::IoasMap>("ioasMap"),
                         InstanceMethod<&IommufdFile::IoasMapSync>("ioasMapSync"),
                         InstanceMethod<&IommufdFile::IoasUnmap>("ioasUnmap"),
                         InstanceMethod<&IommufdFile::IoasUnmapSync>("ioasUnmapSync"),
                         InstanceMethod<&IommufdFile::GetHwInfo>("getHwInfo"),
                         InstanceMethod<&IommufdFile::HwptAlloc>("hwptAlloc"),
                         InstanceMethod<&IommufdFile::HwptAllocSync>("hwptAllocSync"),
                     });
}

Napi::Value IommufdFile::Open(const Napi::CallbackInfo& info) {
  std::shared_ptr<const Descriptor> descriptor;
  const int status = Descriptor::Open(arguments::Path(info[0], "path"), &descriptor);
  if (status < 0) return Napi::Number::New(info.Env(), status);
  return Construct(Addon::Of(info.Env()).iommufd_file, info.Env(), &descriptor);
}

std::shared_ptr<const Descriptor> IommufdFile::FromArgument(Napi::Value value, const char* name) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kIommufdFileTag)) {
    arguments::ThrowInvalidType(value, name, "an IommufdFile");
  }
  return Unwrap(value.As<Napi::Object>())->Use();
}

IommufdFile::IommufdFile(const Napi::CallbackInfo& info) : Napi::ObjectWrap<IommufdFile>(info) {
  if (!info[0].IsExternal()) arguments::ThrowInvalidType(info[0], "the argument", "made by openIommufd()");
  descriptor_ = *info[0].As<Napi::External<std::shared_ptr<const Descriptor>>>().Data();
  info.This().As<Napi::Object>().TypeTag(&kIommufdFileTag);
}

std::shared_ptr<const Descriptor> IommufdFile::Use() const {
  if (!descriptor_) arguments::ThrowClosed(Env(), "IommufdFile");
  return descriptor_;
}

Napi::Value IommufdFile::Close(const Napi::CallbackInfo& info) {
  descriptor_.reset();
  return info.Env().Undefined();
}

// destroy(id: number): undefined, or -errno.
Napi::Value IommufdFile::Destroy(const Napi::CallbackInfo& info) {
  uapi::iommu_destroy command = {};
  command.size = sizeof(command);
  command.id = arguments::Uint32(info[0], "id");
  return RunSync(info.Env(), DestroyOperation{Use(), command});
}
