#include "iommufd_file.h"

#include <cerrno>

#include "arguments.h"
#include "operation.h"
#include "uapi/iommufd.h"

namespace {

uint16_t Uint16(Napi::Value value, const char* name) {
  const uint32_t number = arguments::Uint32(value, name);
  if (number > UINT16_MAX) arguments::ThrowOutOfRange(value, name, "an integer from 0 to 65535");
  return static_cast<uint16_t>(number);
}

const IommufdFile::Method<Fd<IommufdFile>> fd("fd");

// destroy(id: number): undefined, or -errno.
Napi::Value Destroy(IommufdFile& file, const Napi::CallbackInfo& info) {
  auto command = Command<uapi::iommu_destroy>();
  command.id = arguments::Uint32(info[0], "id");
  const auto& iommufd = file.Use();
  // An address space goes after all calls on it: one that came later would find its id gone, or given to
  // another.
  file.mapping_order->WaitForAll(MappingAccess::All(MappingAccess::Kind::kUnmaps, command.id));
  return Answer(info.Env(), iommufd->Ioctl(uapi::IOMMU_DESTROY, &command));
}

const IommufdFile::Method<Destroy> destroy("destroy");

// supports(number: number): boolean, or -errno. Whether the kernel knows the ioctl of that number (0x80 to
// 0x9f).
//
// The ioctl is issued with a size that is too small for every structure. A kernel that knows the ioctl
// answers EINVAL before it looks at anything else. Any other kernel answers ENOTTY.
Napi::Value Supports(IommufdFile& file, const Napi::CallbackInfo& info) {
  const uint32_t number = arguments::Uint32(info[0], "number");
  if (number < 0x80 || number > 0x9f) arguments::ThrowOutOfRange(info[0], "number", "from 0x80 to 0x9f");
  uint32_t size = sizeof(size);
  const int status = file.Use()->Ioctl(_IO(uapi::kIommufdType, number), &size);
  if (status == -EINVAL) return Napi::Boolean::New(info.Env(), true);
  if (status == -ENOTTY) return Napi::Boolean::New(info.Env(), false);
  return Status(info.Env(), status);
}

const IommufdFile::Method<Supports> supports("supports");

// option(optionId, op, objectId, value): the value, or -errno.
Napi::Value Option(IommufdFile& file, const Napi::CallbackInfo& info) {
  auto command = Command<uapi::iommu_option>();
  command.option_id = arguments::Uint32(info[0], "optionId");
  command.op = Uint16(info[1], "op");
  command.object_id = arguments::Uint32(info[2], "objectId");
  command.val64 = arguments::Uint64(info[3], "value");
  const int status = file.Use()->Ioctl(uapi::IOMMU_OPTION, &command);
  return Answer(info.Env(), status, command.val64);
}

const IommufdFile::Method<Option> option("option");

// vfioIoas(op, ioasId): the id, or -errno.
Napi::Value VfioIoas(IommufdFile& file, const Napi::CallbackInfo& info) {
  auto command = Command<uapi::iommu_vfio_ioas>();
  command.op = Uint16(info[0], "op");
  command.ioas_id = arguments::Uint32(info[1], "ioasId");
  const int status = file.Use()->Ioctl(uapi::IOMMU_VFIO_IOAS, &command);
  return Answer(info.Env(), status, command.ioas_id);
}

const IommufdFile::Method<VfioIoas> vfio_ioas("vfioIoas");

}  // namespace
