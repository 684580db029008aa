// IOMMU_GET_HW_INFO and IOMMU_HWPT_*: what the IOMMU of a device is, and the page tables made for it.

#include <cerrno>
#include <cstring>
#include <vector>

#include "arguments.h"
#include "dirty_bitmap.h"
#include "iommufd_file.h"
#include "operation.h"
#include "uapi/iommufd.h"

namespace {

// getHwInfo(deviceId, answer: ArrayBuffer, type?): 0, or -errno. The answer gets four words of 64 bits: the
// type, the length that the driver's structure has, the width of PASIDs and the capabilities; then the
// structure, as much of it as fits. Making an object here would cost more than the call, and so would asking
// a typed array where it lies.
Napi::Value GetHwInfo(IommufdFile& file, const Napi::CallbackInfo& info) {
  constexpr size_t kWords = 4;
  auto command = Command<uapi::iommu_hw_info>();
  command.dev_id = arguments::Uint32(info[0], "deviceId");
  if (!info[2].IsUndefined()) {
    command.flags = uapi::IOMMU_HW_INFO_FLAG_INPUT_TYPE;
    command.out_data_type = arguments::Uint32(info[2], "type");
  }
  const auto answer = arguments::Buffer(info[1], "answer");
  if (answer.length < kWords * sizeof(uint64_t) || answer.length > UINT32_MAX) {
    arguments::ThrowOutOfRange(info[1], "answer", "from 32 bytes to 4 GiB");
  }
  command.data_len = static_cast<uint32_t>(answer.length - kWords * sizeof(uint64_t));
  command.data_uptr = reinterpret_cast<uintptr_t>(answer.data + kWords * sizeof(uint64_t));
  const int status = file.Use()->Ioctl(uapi::IOMMU_GET_HW_INFO, &command);
  if (status < 0) return Status(info.Env(), status);
  const uint64_t words[kWords] = {command.out_data_type, command.data_len, command.out_max_pasid_log2,
                                  command.out_capabilities};
  std::memcpy(answer.data, words, sizeof(words));
  return Status(info.Env(), 0);
}

const IommufdFile::Method<GetHwInfo> get_hw_info("getHwInfo");

// hwptAlloc(deviceId, ptId, flags, faultId, dataType, data: Uint8Array): the id, or -errno.
struct HwptAlloc
    : IoctlOperation<uapi::IOMMU_HWPT_ALLOC, uapi::iommu_hwpt_alloc, &uapi::iommu_hwpt_alloc::out_hwpt_id> {
  std::vector<uint8_t> data;  // the driver's own structure

  explicit HwptAlloc(const Napi::CallbackInfo& info) {
    command.dev_id = arguments::Uint32(info[0], "deviceId");
    command.pt_id = arguments::Uint32(info[1], "ptId");
    command.flags = arguments::Uint32(info[2], "flags");
    command.fault_id = arguments::Uint32(info[3], "faultId");
    command.data_type = arguments::Uint32(info[4], "dataType");
    data = arguments::CopyBytes(info[5], "data");
  }

  int Run() {
    command.data_len = static_cast<uint32_t>(data.size());
    command.data_uptr = reinterpret_cast<uintptr_t>(data.data());
    return IoctlOperation::Run();
  }
};

const IommufdFile::Both<HwptAlloc> hwpt_alloc("hwptAlloc", "hwptAllocSync");

// hwptSetDirtyTracking(hwptId, enabled): undefined, or -errno.
Napi::Value HwptSetDirtyTracking(IommufdFile& file, const Napi::CallbackInfo& info) {
  auto command = Command<uapi::iommu_hwpt_set_dirty_tracking>();
  command.hwpt_id = arguments::Uint32(info[0], "hwptId");
  command.flags = arguments::Boolean(info[1], "enabled") ? uapi::IOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0;
  return Answer(info.Env(), file.Use()->Ioctl(uapi::IOMMU_HWPT_SET_DIRTY_TRACKING, &command));
}

const IommufdFile::Method<HwptSetDirtyTracking> hwpt_set_dirty_tracking("hwptSetDirtyTracking");

// hwptGetDirtyBitmap(hwptId, flags, iova, length, pageSize): the bitmap, or -errno.
struct HwptGetDirtyBitmap
    : IoctlOperation<uapi::IOMMU_HWPT_GET_DIRTY_BITMAP, uapi::iommu_hwpt_get_dirty_bitmap> {
  DirtyBitmap bitmap;

  explicit HwptGetDirtyBitmap(const Napi::CallbackInfo& info) : bitmap(info[3], info[4]) {
    command.hwpt_id = arguments::Uint32(info[0], "hwptId");
    command.flags = arguments::Uint32(info[1], "flags");
    command.iova = arguments::Uint64(info[2], "iova");
    command.length = bitmap.length();
    command.page_size = bitmap.page_size();
    command.data = bitmap.Make(info.Env());
  }

  int Run() { return command.data == 0 ? -ENOMEM : IoctlOperation::Run(); }

  Napi::Value Result(Napi::Env) const { return bitmap.Result(); }
};

const IommufdFile::Both<HwptGetDirtyBitmap> hwpt_get_dirty_bitmap("hwptGetDirtyBitmap",
                                                                  "hwptGetDirtyBitmapSync");

// hwptInvalidate(id, dataType, entryLength, count, entries: Uint8Array): { done, status }, where status is 0
// or the -errno of the entry after those done. The id is that of a nested HWPT or of a vIOMMU.
Napi::Value HwptInvalidate(IommufdFile& file, const Napi::CallbackInfo& info) {
  auto command = Command<uapi::iommu_hwpt_invalidate>();
  command.hwpt_id = arguments::Uint32(info[0], "id");
  command.data_type = arguments::Uint32(info[1], "dataType");
  command.entry_len = arguments::Uint32(info[2], "entryLength");
  command.entry_num = arguments::Uint32(info[3], "count");
  const auto entries = arguments::Bytes(info[4], "entries");
  if (entries.length != uint64_t{command.entry_len} * command.entry_num) {
    arguments::ThrowOutOfRange(info[4], "entries", "as long as count entries of entryLength");
  }
  command.data_uptr = reinterpret_cast<uintptr_t>(entries.data);
  const int status = file.Use()->Ioctl(uapi::IOMMU_HWPT_INVALIDATE, &command);
  // A kernel that does not know the ioctl leaves the number as it was asked.
  return Outcome(info.Env(), status == -ENOTTY ? 0 : command.entry_num, status);
}

const IommufdFile::Method<HwptInvalidate> hwpt_invalidate("hwptInvalidate");

}  // namespace
