// IOMMU_GET_HW_INFO and IOMMU_HWPT_*: what the IOMMU of a device is, and the page tables made for it.

#include <cerrno>
#include <vector>

#include "arguments.h"
#include "dirty_bitmap.h"
#include "iommufd_file.h"
#include "operation.h"
#include "uapi/iommufd.h"

namespace {

struct HwptAllocOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::iommu_hwpt_alloc command;
  std::vector<uint8_t> data;  // the driver's own structure

  // hwptAlloc(deviceId, ptId, flags, faultId, dataType, data)
  static HwptAllocOperation From(const Napi::CallbackInfo& info,
                                 std::shared_ptr<const Descriptor> descriptor) {
    uapi::iommu_hwpt_alloc command = {};
    command.size = sizeof(command);
    command.dev_id = arguments::Uint32(info[0], "deviceId");
    command.pt_id = arguments::Uint32(info[1], "ptId");
    command.flags = arguments::Uint32(info[2], "flags");
    command.fault_id = arguments::Uint32(info[3], "faultId");
    command.data_type = arguments::Uint32(info[4], "dataType");
    return {std::move(descriptor), command, arguments::CopyBytes(info[5], "data")};
  }

  int Run() {
    command.data_len = static_cast<uint32_t>(data.size());
    command.data_uptr = reinterpret_cast<uintptr_t>(data.data());
    return descriptor->Ioctl(uapi::IOMMU_HWPT_ALLOC, &command);
  }

  Napi::Value Result(Napi::Env env) const { return Napi::Number::New(env, command.out_hwpt_id); }
};

struct SetDirtyTrackingOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::iommu_hwpt_set_dirty_tracking command;

  int Run() { return descriptor->Ioctl(uapi::IOMMU_HWPT_SET_DIRTY_TRACKING, &command); }
  Napi::Value Result(Napi::Env env) const { return env.Undefined(); }
};

struct GetDirtyBitmapOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::iommu_hwpt_get_dirty_bitmap command;
  DirtyBitmap bitmap;

  // getDirtyBitmap(hwptId, flags, iova, length, pageSize)
  static GetDirtyBitmapOperation From(const Napi::CallbackInfo& info,
                                      std::shared_ptr<const Descriptor> descriptor) {
    uapi::iommu_hwpt_get_dirty_bitmap command = {};
    command.size = sizeof(command);
    command.hwpt_id = arguments::Uint32(info[0], "hwptId");
    command.flags = arguments::Uint32(info[1], "flags");
    command.iova = arguments::Uint64(info[2], "iova");
    DirtyBitmap bitmap(info[3], info[4]);
    command.length = bitmap.length();
    command.page_size = bitmap.page_size();
    return {std::move(descriptor), command, std::move(bitmap)};
  }

  int Run() {
    command.data = bitmap.Address();
    return descriptor->Ioctl(uapi::IOMMU_HWPT_GET_DIRTY_BITMAP, &command);
  }

  Napi::Value Result(Napi::Env env) const { return bitmap.Result(env); }
};

}  // namespace

// getHwInfo(deviceId, target: Uint8Array, out: BigUint64Array, type?): 0, or -errno. The driver's structure
// is written to target, as much of it as fits; out gets the type, the structure's length, the width of PASIDs
// and the capabilities. Making an object here would cost more than the call.
Napi::Value IommufdFile::GetHwInfo(const Napi::CallbackInfo& info) {
  uapi::iommu_hw_info command = {};
  command.size = sizeof(command);
  command.dev_id = arguments::Uint32(info[0], "deviceId");
  auto target = arguments::Bytes(info[1], "target");
  auto out = arguments::Uint64Array(info[2], "out");
  if (target.length > UINT32_MAX) arguments::ThrowOutOfRange(info[1], "target", "at most 4 GiB");
  if (out.length < 4) arguments::ThrowOutOfRange(info[2], "out", "of 4 elements");
  if (!info[3].IsUndefined()) {
    command.flags = uapi::IOMMU_HW_INFO_FLAG_INPUT_TYPE;
    command.out_data_type = arguments::Uint32(info[3], "type");
  }
  command.data_len = static_cast<uint32_t>(target.length);
  command.data_uptr = reinterpret_cast<uintptr_t>(target.data);
  const int status = Borrow()->Ioctl(uapi::IOMMU_GET_HW_INFO, &command);
  if (status < 0) return Status(info.Env(), status);
  uint64_t* values = out.data;
  values[0] = command.out_data_type;
  values[1] = command.data_len;
  values[2] = command.out_max_pasid_log2;
  values[3] = command.out_capabilities;
  return Status(info.Env(), 0);
}

// hwptAlloc(deviceId, ptId, flags, faultId, dataType, data: Uint8Array): the id, or -errno.
Napi::Value IommufdFile::HwptAlloc(const Napi::CallbackInfo& info) {
  return RunAsync(info.Env(), HwptAllocOperation::From(info, Use()));
}

Napi::Value IommufdFile::HwptAllocSync(const Napi::CallbackInfo& info) {
  return RunSync(info.Env(), HwptAllocOperation::From(info, Use()));
}

// hwptSetDirtyTracking(hwptId, enabled): undefined, or -errno.
Napi::Value IommufdFile::HwptSetDirtyTracking(const Napi::CallbackInfo& info) {
  uapi::iommu_hwpt_set_dirty_tracking command = {};
  command.size = sizeof(command);
  command.hwpt_id = arguments::Uint32(info[0], "hwptId");
  if (!info[1].IsBoolean()) arguments::ThrowInvalidType(info[1], "enabled", "a boolean");
  command.flags = info[1].As<Napi::Boolean>().Value() ? uapi::IOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0;
  return RunSync(info.Env(), SetDirtyTrackingOperation{Use(), command});
}

// hwptGetDirtyBitmap(hwptId, flags, iova, length, pageSize): the bitmap, or -errno.
Napi::Value IommufdFile::HwptGetDirtyBitmap(const Napi::CallbackInfo& info) {
  return RunAsync(info.Env(), GetDirtyBitmapOperation::From(info, Use()));
}

Napi::Value IommufdFile::HwptGetDirtyBitmapSync(const Napi::CallbackInfo& info) {
  return RunSync(info.Env(), GetDirtyBitmapOperation::From(info, Use()));
}

// hwptInvalidate(id, dataType, entryLength, count, entries: Uint8Array): { done, status }, where status is 0
// or the -errno of the entry after those done. The id is that of a nested HWPT or of a vIOMMU.
Napi::Value IommufdFile::HwptInvalidate(const Napi::CallbackInfo& info) {
  uapi::iommu_hwpt_invalidate command = {};
  command.size = sizeof(command);
  command.hwpt_id = arguments::Uint32(info[0], "id");
  command.data_type = arguments::Uint32(info[1], "dataType");
  command.entry_len = arguments::Uint32(info[2], "entryLength");
  command.entry_num = arguments::Uint32(info[3], "count");
  const auto entries = arguments::Bytes(info[4], "entries");
  if (entries.length != uint64_t{command.entry_len} * command.entry_num) {
    arguments::ThrowOutOfRange(info[4], "entries", "as long as count entries of entryLength");
  }
  command.data_uptr = reinterpret_cast<uintptr_t>(entries.data);
  const int status = Borrow()->Ioctl(uapi::IOMMU_HWPT_INVALIDATE, &command);
  // A kernel that does not know the ioctl leaves the number as it was asked.
  return Outcome(info.Env(), status == -ENOTTY ? 0 : command.entry_num, status);
}
