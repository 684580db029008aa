// IOMMU_GET_HW_INFO and IOMMU_HWPT_*: what the IOMMU of a device is, and the page tables made for it.

#include <algorithm>
#include <cstring>
#include <vector>

#include "arguments.h"
#include "iommufd_file.h"
#include "operation.h"
#include "uapi/iommufd.h"

namespace {

struct GetHwInfoOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::iommu_hw_info command;
  std::vector<uint8_t> data;

  int Run() {
    command.data_len = static_cast<uint32_t>(data.size());
    command.data_uptr = reinterpret_cast<uintptr_t>(data.data());
    return descriptor->Ioctl(uapi::IOMMU_GET_HW_INFO, &command);
  }

  // The kernel answers with the length that it has, which may be more than there was room for.
  Napi::Value Result(Napi::Env env) const {
    const size_t length = std::min<size_t>(command.data_len, data.size());
    auto bytes = Napi::Uint8Array::New(env, length);
    std::copy_n(data.begin(), length, bytes.Data());
    auto result = Napi::Object::New(env);
    result.Set("type", Napi::Number::New(env, command.out_data_type));
    result.Set("data", bytes);
    result.Set("dataLength", Napi::Number::New(env, command.data_len));
    result.Set("maxPasidLog2", Napi::Number::New(env, command.out_max_pasid_log2));
    result.Set("capabilities", Napi::BigInt::New(env, command.out_capabilities));
    return result;
  }
};

struct HwptAllocOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::iommu_hwpt_alloc command;
  uapi::iommu_hwpt_vtd_s1 vtd_s1;

  // hwptAlloc(deviceId, ptId, flags, faultId, vtdS1?: { flags, pgtblAddr, addrWidth })
  static HwptAllocOperation From(const Napi::CallbackInfo& info,
                                 std::shared_ptr<const Descriptor> descriptor) {
    uapi::iommu_hwpt_alloc command = {};
    uapi::iommu_hwpt_vtd_s1 vtd_s1 = {};
    command.size = sizeof(command);
    command.dev_id = arguments::Uint32(info[0], "deviceId");
    command.pt_id = arguments::Uint32(info[1], "ptId");
    command.flags = arguments::Uint32(info[2], "flags");
    command.fault_id = arguments::Uint32(info[3], "faultId");
    command.data_type = uapi::IOMMU_HWPT_DATA_NONE;
    if (!info[4].IsUndefined()) {
      if (!info[4].IsObject()) arguments::ThrowInvalidType(info[4], "vtdS1", "an object");
      const auto data = info[4].As<Napi::Object>();
      vtd_s1.flags = arguments::Uint64(data.Get("flags"), "vtdS1.flags");
      vtd_s1.pgtbl_addr = arguments::Uint64(data.Get("pgtblAddr"), "vtdS1.pgtblAddr");
      vtd_s1.addr_width = arguments::Uint32(data.Get("addrWidth"), "vtdS1.addrWidth");
      command.data_type = uapi::IOMMU_HWPT_DATA_VTD_S1;
      command.data_len = sizeof(vtd_s1);
    }
    return {std::move(descriptor), command, vtd_s1};
  }

  int Run() {
    if (command.data_len != 0) command.data_uptr = reinterpret_cast<uintptr_t>(&vtd_s1);
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
  size_t bytes;                  // of the bitmap: a bit a page, rounded up
  std::vector<uint64_t> bitmap;  // the kernel writes whole words

  // getDirtyBitmap(hwptId, flags, iova, length, pageSize)
  static GetDirtyBitmapOperation From(const Napi::CallbackInfo& info,
                                      std::shared_ptr<const Descriptor> descriptor) {
    constexpr uint64_t kMaxPages = uint64_t{1} << 33;  // a bitmap of 1 GiB
    uapi::iommu_hwpt_get_dirty_bitmap command = {};
    command.size = sizeof(command);
    command.hwpt_id = arguments::Uint32(info[0], "hwptId");
    command.flags = arguments::Uint32(info[1], "flags");
    command.iova = arguments::Uint64(info[2], "iova");
    command.length = arguments::Uint64(info[3], "length");
    command.page_size = arguments::Uint64(info[4], "pageSize");
    // A page size of 0 is the kernel's to refuse, before it looks at the bitmap.
    const uint64_t pages = command.page_size == 0 ? 0 : command.length / command.page_size;
    if (pages > kMaxPages) arguments::ThrowOutOfRange(info[3], "length", "at most 2^33 pages");
    return {std::move(descriptor), command, static_cast<size_t>((pages + 7) / 8),
            std::vector<uint64_t>(static_cast<size_t>(pages / 64 + 1))};
  }

  int Run() {
    command.data = reinterpret_cast<uintptr_t>(bitmap.data());
    return descriptor->Ioctl(uapi::IOMMU_HWPT_GET_DIRTY_BITMAP, &command);
  }

  Napi::Value Result(Napi::Env env) const {
    auto result = Napi::Uint8Array::New(env, bytes);
    std::memcpy(result.Data(), bitmap.data(), bytes);
    return result;
  }
};

}  // namespace

// getHwInfo(deviceId, capacity): { type, data, dataLength, maxPasidLog2, capabilities }, or -errno.
Napi::Value IommufdFile::GetHwInfo(const Napi::CallbackInfo& info) {
  constexpr uint32_t kMaxCapacity = 4096;
  uapi::iommu_hw_info command = {};
  command.size = sizeof(command);
  command.dev_id = arguments::Uint32(info[0], "deviceId");
  const uint32_t capacity = arguments::Uint32(info[1], "capacity");
  if (capacity > kMaxCapacity) arguments::ThrowOutOfRange(info[1], "capacity", "an integer from 0 to 4096");
  return RunSync(info.Env(), GetHwInfoOperation{Borrow(), command, std::vector<uint8_t>(capacity)});
}

// hwptAlloc(deviceId, ptId, flags, faultId, vtdS1?): the id, or -errno.
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
