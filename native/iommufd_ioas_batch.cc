// Many mappings in one crossing from JavaScript: the ioctls are the same, one a range.
//
// A batch stops at the first range that the kernel refuses. Its outcome is { done, status }: how many ranges
// were handled before that, and 0 or the -errno of the one that was refused.

#include <algorithm>
#include <string>
#include <vector>

#include "arguments.h"
#include "iommufd_file.h"
#include "mapping_order.h"
#include "operation.h"
#include "pages.h"
#include "uapi/iommufd.h"

namespace {

// The caller's arrays are copied: they may change while the call runs.
std::vector<uint64_t> Values(Napi::Value value, const char* name) {
  const auto array = arguments::Uint64Array(value, name);
  return std::vector<uint64_t>(array.begin(), array.end());
}

void CheckLength(Napi::Value value, const char* name, size_t length, size_t expected) {
  if (length != expected) arguments::ThrowOutOfRange(value, name, "as long as iovas");
}

// From the first to the last address of all: what is between belongs to nobody else, as a rule.
MappingAccess Extent(MappingAccess::Kind kind, uint32_t ioas_id, const std::vector<uint64_t>& iovas,
                     const std::vector<uint64_t>& lengths) {
  if (iovas.empty()) return MappingAccess::Range(kind, ioas_id, 0, 0);
  auto extent = MappingAccess::Range(kind, ioas_id, iovas[0], lengths[0]);
  for (size_t i = 1; i < iovas.size(); i++) {
    const auto range = MappingAccess::Range(kind, ioas_id, iovas[i], lengths[i]);
    extent.first = std::min(extent.first, range.first);
    extent.last = std::max(extent.last, range.last);
  }
  return extent;
}

int Unmap(const Descriptor& iommufd, uint32_t ioas_id, uint64_t iova, uint64_t length) {
  auto command = Command<uapi::iommu_ioas_unmap>();
  command.ioas_id = ioas_id;
  command.iova = iova;
  command.length = length;
  return iommufd.Ioctl(uapi::IOMMU_IOAS_UNMAP, &command);
}

// ioasMapMany(ioasId, flags, memory, iovas, offsets, lengths, rollBack): { done, status }.
struct IoasMapMany : IoctlOperation<uapi::IOMMU_IOAS_MAP, uapi::iommu_ioas_map> {
  std::shared_ptr<Pages> pages;
  std::vector<uint64_t> iovas;
  std::vector<uint64_t> offsets;
  std::vector<uint64_t> lengths;
  bool roll_back;
  size_t done = 0;
  int status = 0;

  explicit IoasMapMany(const Napi::CallbackInfo& info) {
    command.ioas_id = arguments::Uint32(info[0], "ioasId");
    command.flags = arguments::Uint32(info[1], "flags");
    pages = DmaMemory::FromArgument(info[2], "memory");
    iovas = Values(info[3], "iovas");
    offsets = Values(info[4], "offsets");
    lengths = Values(info[5], "lengths");
    CheckLength(info[4], "offsets", offsets.size(), iovas.size());
    CheckLength(info[5], "lengths", lengths.size(), iovas.size());
    roll_back = arguments::Boolean(info[6], "rollBack");
    // Before the first is mapped, as for a single mapping: that all are ours to map.
    for (size_t i = 0; i < iovas.size(); i++) {
      if (offsets[i] > pages->length() || lengths[i] > pages->length() - offsets[i]) {
        const std::string name = "the range at index " + std::to_string(i);
        arguments::ThrowOutOfRange(Napi::BigInt::New(info.Env(), offsets[i]), name.c_str(),
                                   "within the memory");
      }
    }
  }

  MappingAccesses Accesses() const {
    const auto kind = roll_back ? MappingAccess::Kind::kUnmaps : MappingAccess::Kind::kMaps;
    return Extent(kind, command.ioas_id, iovas, lengths);
  }

  int Run() {
    for (; done < iovas.size(); done++) {
      command.iova = iovas[done];
      command.user_va = reinterpret_cast<uintptr_t>(pages->address()) + offsets[done];
      command.length = lengths[done];
      status = IoctlOperation::Run();
      if (status < 0) break;
    }
    if (status < 0 && roll_back) {
      for (size_t i = done; i-- > 0;) Unmap(*native, command.ioas_id, iovas[i], lengths[i]);
    }
    return 0;
  }

  Napi::Value Result(Napi::Env env) const { return Outcome(env, done, status); }
};

const IommufdFile::Both<IoasMapMany> ioas_map_many("ioasMapMany", "ioasMapManySync");

// ioasUnmapMany(ioasId, iovas, lengths): { done, status }.
struct IoasUnmapMany {
  std::shared_ptr<const Descriptor> native;
  uint32_t ioas_id;
  std::vector<uint64_t> iovas;
  std::vector<uint64_t> lengths;
  size_t done = 0;
  int status = 0;

  explicit IoasUnmapMany(const Napi::CallbackInfo& info)
      : ioas_id(arguments::Uint32(info[0], "ioasId")),
        iovas(Values(info[1], "iovas")),
        lengths(Values(info[2], "lengths")) {
    CheckLength(info[2], "lengths", lengths.size(), iovas.size());
  }

  MappingAccesses Accesses() const { return Extent(MappingAccess::Kind::kUnmaps, ioas_id, iovas, lengths); }

  int Run() {
    for (; done < iovas.size(); done++) {
      status = Unmap(*native, ioas_id, iovas[done], lengths[done]);
      if (status < 0) break;
    }
    return 0;
  }

  Napi::Value Result(Napi::Env env) const { return Outcome(env, done, status); }
};

const IommufdFile::Both<IoasUnmapMany> ioas_unmap_many("ioasUnmapMany", "ioasUnmapManySync");

}  // namespace
