// Regions of a VFIO device: what they are, reading and writing them, and mapping them.

#include <sys/mman.h>

#include <cstring>
#include <vector>

#include "arguments.h"
#include "operation.h"
#include "pages.h"
#include "uapi/vfio.h"
#include "vfio_device_file.h"

namespace {

constexpr size_t kMaxTransfer = size_t{1} << 30;

// struct vfio_region_info and its capabilities.
class RegionInfo {
 public:
  // Asked without room for the capabilities, the kernel says how much they need.
  int Ask(const Descriptor& device, uint32_t index) {
    uint32_t needed = sizeof(uapi::vfio_region_info);
    int status;
    do {
      uapi::vfio_region_info request = {};
      request.argsz = needed;
      request.index = index;
      bytes_.assign(needed, 0);
      std::memcpy(bytes_.data(), &request, sizeof(request));
      status = device.Ioctl(uapi::VFIO_DEVICE_GET_REGION_INFO, bytes_.data());
      needed = At<uapi::vfio_region_info>(0).argsz;
    } while (status >= 0 && needed > bytes_.size());
    return status;
  }

  Napi::Value Result(Napi::Env env) const {
    const auto region = At<uapi::vfio_region_info>(0);
    auto result = Napi::Object::New(env);
    result.Set("flags", Napi::Number::New(env, region.flags));
    result.Set("size", Napi::BigInt::New(env, region.size));
    result.Set("offset", Napi::BigInt::New(env, region.offset));
    uint32_t next = (region.flags & uapi::VFIO_REGION_INFO_FLAG_CAPS) != 0 ? region.cap_offset : 0;
    // Each capability lies behind the one before it; the kernel writes them so, and anything else ends the
    // walk.
    for (uint32_t offset = 0; next > offset && Fits<uapi::vfio_info_cap_header>(next);) {
      offset = next;
      const auto header = At<uapi::vfio_info_cap_header>(offset);
      AddCapability(env, result, header.id, offset);
      next = header.next;
    }
    return result;
  }

 private:
  template <typename Structure>
  bool Fits(size_t offset) const {
    return offset <= bytes_.size() && bytes_.size() - offset >= sizeof(Structure);
  }

  template <typename Structure>
  Structure At(size_t offset) const {
    Structure structure;
    std::memcpy(&structure, bytes_.data() + offset, sizeof(structure));
    return structure;
  }

  void AddCapability(Napi::Env env, Napi::Object result, uint16_t id, size_t offset) const {
    if (id == uapi::VFIO_REGION_INFO_CAP_SPARSE_MMAP &&
        Fits<uapi::vfio_region_info_cap_sparse_mmap>(offset)) {
      const auto sparse = At<uapi::vfio_region_info_cap_sparse_mmap>(offset);
      auto areas = Napi::Array::New(env);
      for (uint32_t i = 0; i < sparse.nr_areas; i++) {
        const size_t at = offset + sizeof(sparse) + i * sizeof(uapi::vfio_region_sparse_mmap_area);
        if (!Fits<uapi::vfio_region_sparse_mmap_area>(at)) break;
        const auto area = At<uapi::vfio_region_sparse_mmap_area>(at);
        auto item = Napi::Object::New(env);
        item.Set("offset", Napi::BigInt::New(env, area.offset));
        item.Set("size", Napi::BigInt::New(env, area.size));
        areas.Set(i, item);
      }
      result.Set("sparseAreas", areas);
    } else if (id == uapi::VFIO_REGION_INFO_CAP_TYPE && Fits<uapi::vfio_region_info_cap_type>(offset)) {
      const auto type = At<uapi::vfio_region_info_cap_type>(offset);
      result.Set("type", Napi::Number::New(env, type.type));
      result.Set("subtype", Napi::Number::New(env, type.subtype));
    } else if (id == uapi::VFIO_REGION_INFO_CAP_MSIX_MAPPABLE) {
      result.Set("msixMappable", Napi::Boolean::New(env, true));
    }
  }

  std::vector<uint8_t> bytes_;
};

arguments::Span<uint8_t> Transfer(Napi::Value value, const char* name) {
  const auto bytes = arguments::Bytes(value, name);
  if (bytes.length > kMaxTransfer) arguments::ThrowOutOfRange(value, name, "at most 1 GiB");
  return bytes;
}

// getRegionInfo(index): { flags, size, offset, sparseAreas?, type?, subtype?, msixMappable? }, or -errno.
Napi::Value GetRegionInfo(VfioDeviceFile& file, const Napi::CallbackInfo& info) {
  const uint32_t index = arguments::Uint32(info[0], "index");
  const auto& device = file.Use();
  RegionInfo region;
  const int status = OrNoMemory([&] { return region.Ask(*device, index); });
  return status < 0 ? Status(info.Env(), status) : region.Result(info.Env());
}

const VfioDeviceFile::Method<GetRegionInfo> get_region_info("getRegionInfo");

// read(position: bigint, target: Uint8Array): how many bytes, or -errno. The kernel makes accesses as wide as
// alignment and length allow, up to 8 bytes.
Napi::Value Read(VfioDeviceFile& file, const Napi::CallbackInfo& info) {
  const off_t position = arguments::Position(info[0], "position");
  auto target = Transfer(info[1], "target");
  return Status(info.Env(), file.Use()->Read(target.data, target.length, position));
}

const VfioDeviceFile::Method<Read> read("read");

// write(position: bigint, source: Uint8Array): how many bytes, or -errno.
Napi::Value Write(VfioDeviceFile& file, const Napi::CallbackInfo& info) {
  const off_t position = arguments::Position(info[0], "position");
  const auto source = Transfer(info[1], "source");
  return Status(info.Env(), file.Use()->Write(source.data, source.length, position));
}

const VfioDeviceFile::Method<Write> write("write");

// mapRegion(position: bigint, length: bigint, writable: boolean): MappedRegion, or -errno.
Napi::Value MapRegion(VfioDeviceFile& file, const Napi::CallbackInfo& info) {
  const bool writable = arguments::Boolean(info[2], "writable");
  return MapRegionOf(file.Use(), info, PROT_READ | (writable ? PROT_WRITE : 0));
}

const VfioDeviceFile::Method<MapRegion> map_region("mapRegion");

}  // namespace
