// IOMMU_IOAS_*: address spaces and the mappings in them.

#include <algorithm>
#include <cerrno>
#include <vector>

#include "arguments.h"
#include "iommufd_file.h"
#include "mapping_order.h"
#include "operation.h"
#include "pages.h"
#include "uapi/iommufd.h"

namespace {

using Kind = MappingAccess::Kind;

// Where a mapping may end up: where the kernel chooses, anywhere.
MappingAccess Placement(uint32_t ioas_id, uint32_t flags, uint64_t iova, uint64_t length) {
  if (!(flags & uapi::IOMMU_IOAS_MAP_FIXED_IOVA)) return MappingAccess::All(Kind::kMaps, ioas_id);
  return MappingAccess::Range(Kind::kMaps, ioas_id, iova, length);
}

// ioasAlloc(): the id, or -errno.
Napi::Value IoasAlloc(IommufdFile& file, const Napi::CallbackInfo& info) {
  auto command = Command<uapi::iommu_ioas_alloc>();
  const int status = file.Use()->Ioctl(uapi::IOMMU_IOAS_ALLOC, &command);
  return Answer(info.Env(), status, command.out_ioas_id);
}

const IommufdFile::Method<IoasAlloc> ioas_alloc("ioasAlloc");

// ioasIovaRanges(ioasId: number): { ranges: { start, last }[], alignment }, or -errno.
Napi::Value IoasIovaRanges(IommufdFile& file, const Napi::CallbackInfo& info) {
  auto command = Command<uapi::iommu_ioas_iova_ranges>();
  command.ioas_id = arguments::Uint32(info[0], "ioasId");
  command.num_iovas = 16;
  const auto& iommufd = file.Use();
  std::vector<uapi::iommu_iova_range> ranges;
  // The kernel says EMSGSIZE and how many there are; attaching a device may change that between two tries.
  const int status = OrNoMemory([&] {
    int tried;
    do {
      ranges.resize(command.num_iovas);
      command.allowed_iovas = reinterpret_cast<uintptr_t>(ranges.data());
      tried = iommufd->Ioctl(uapi::IOMMU_IOAS_IOVA_RANGES, &command);
    } while (tried == -EMSGSIZE && command.num_iovas > ranges.size());
    return tried;
  });
  if (status < 0) return Status(info.Env(), status);
  const Napi::Env env = info.Env();
  const uint32_t count = std::min(command.num_iovas, static_cast<uint32_t>(ranges.size()));
  auto list = Napi::Array::New(env, count);
  for (uint32_t i = 0; i < count; i++) {
    auto range = Napi::Object::New(env);
    range.Set("start", Napi::BigInt::New(env, ranges[i].start));
    range.Set("last", Napi::BigInt::New(env, ranges[i].last));
    list.Set(i, range);
  }
  auto result = Napi::Object::New(env);
  result.Set("ranges", list);
  result.Set("alignment", Napi::BigInt::New(env, command.out_iova_alignment));
  return result;
}

const IommufdFile::Method<IoasIovaRanges> ioas_iova_ranges("ioasIovaRanges");

// ioasAllowIovas(ioasId, ranges: BigUint64Array of start and last in turn): undefined, or -errno.
Napi::Value IoasAllowIovas(IommufdFile& file, const Napi::CallbackInfo& info) {
  auto command = Command<uapi::iommu_ioas_allow_iovas>();
  command.ioas_id = arguments::Uint32(info[0], "ioasId");
  const auto values = arguments::Uint64Array(info[1], "ranges");
  if (values.length % 2 != 0) arguments::ThrowOutOfRange(info[1], "ranges", "pairs of start and last");
  // The kernel's structure of a range is such a pair. It only reads them, before the call returns.
  static_assert(sizeof(uapi::iommu_iova_range) == 2 * sizeof(uint64_t));
  command.num_iovas = static_cast<uint32_t>(values.length / 2);
  command.allowed_iovas = reinterpret_cast<uintptr_t>(values.data);
  return Answer(info.Env(), file.Use()->Ioctl(uapi::IOMMU_IOAS_ALLOW_IOVAS, &command));
}

const IommufdFile::Method<IoasAllowIovas> ioas_allow_iovas("ioasAllowIovas");

// ioasChangeProcess(): undefined, or -errno.
Napi::Value IoasChangeProcess(IommufdFile& file, const Napi::CallbackInfo& info) {
  auto command = Command<uapi::iommu_ioas_change_process>();
  return Answer(info.Env(), file.Use()->Ioctl(uapi::IOMMU_IOAS_CHANGE_PROCESS, &command));
}

const IommufdFile::Method<IoasChangeProcess> ioas_change_process("ioasChangeProcess");

// ioasMap(ioasId, flags, memory, offset, length, iova): the iova, or -errno.
struct IoasMap : IoctlOperation<uapi::IOMMU_IOAS_MAP, uapi::iommu_ioas_map, &uapi::iommu_ioas_map::iova> {
  std::shared_ptr<Pages> pages;

  explicit IoasMap(const Napi::CallbackInfo& info) {
    command.ioas_id = arguments::Uint32(info[0], "ioasId");
    command.flags = arguments::Uint32(info[1], "flags");
    pages = DmaMemory::FromArgument(info[2], "memory");
    const uint64_t offset = arguments::Uint64(info[3], "offset");
    command.length = arguments::Uint64(info[4], "length");
    command.iova = arguments::Uint64(info[5], "iova");
    // The one check that the kernel cannot make: that the range is ours to map.
    if (offset > pages->length()) arguments::ThrowOutOfRange(info[3], "offset", "within the memory");
    if (command.length > pages->length() - offset) {
      arguments::ThrowOutOfRange(info[4], "length", "within the memory, from the offset on");
    }
    command.user_va = reinterpret_cast<uintptr_t>(pages->address()) + offset;
  }

  MappingAccesses Accesses() const {
    return Placement(command.ioas_id, command.flags, command.iova, command.length);
  }
};

const IommufdFile::Both<IoasMap> ioas_map("ioasMap", "ioasMapSync");

// ioasMapFile(ioasId, flags, fd, start, length, iova): the iova, or -errno.
//
// The caller's descriptor is duplicated: it may be closed, and its number given to another file, while the
// call runs. So the number itself is never used; one that is none is the kernel's to refuse.
struct IoasMapFile
    : IoctlOperation<uapi::IOMMU_IOAS_MAP_FILE, uapi::iommu_ioas_map_file, &uapi::iommu_ioas_map_file::iova> {
  std::shared_ptr<const Descriptor> mapped;
  int status;  // of duplicating its descriptor

  explicit IoasMapFile(const Napi::CallbackInfo& info) {
    command.ioas_id = arguments::Uint32(info[0], "ioasId");
    command.flags = arguments::Uint32(info[1], "flags");
    const int fd = arguments::Fd(info[2], "fd");
    command.start = arguments::Uint64(info[3], "start");
    command.length = arguments::Uint64(info[4], "length");
    command.iova = arguments::Uint64(info[5], "iova");
    status = Descriptor::Duplicate(fd, &mapped);
    command.fd = mapped ? mapped->fd() : -1;
    if (status == -EBADF) status = 0;
  }

  MappingAccesses Accesses() const {
    return Placement(command.ioas_id, command.flags, command.iova, command.length);
  }
  int Run() { return status < 0 ? status : IoctlOperation::Run(); }
};

const IommufdFile::Both<IoasMapFile> ioas_map_file("ioasMapFile", "ioasMapFileSync");

// ioasCopy(destinationId, sourceId, flags, length, destinationIova, sourceIova): the iova, or -errno.
struct IoasCopy
    : IoctlOperation<uapi::IOMMU_IOAS_COPY, uapi::iommu_ioas_copy, &uapi::iommu_ioas_copy::dst_iova> {
  explicit IoasCopy(const Napi::CallbackInfo& info) {
    command.dst_ioas_id = arguments::Uint32(info[0], "destinationId");
    command.src_ioas_id = arguments::Uint32(info[1], "sourceId");
    command.flags = arguments::Uint32(info[2], "flags");
    command.length = arguments::Uint64(info[3], "length");
    command.dst_iova = arguments::Uint64(info[4], "destinationIova");
    command.src_iova = arguments::Uint64(info[5], "sourceIova");
  }

  MappingAccesses Accesses() const {
    return {Placement(command.dst_ioas_id, command.flags, command.dst_iova, command.length),
            MappingAccess::Range(Kind::kReads, command.src_ioas_id, command.src_iova, command.length)};
  }
};

const IommufdFile::Both<IoasCopy> ioas_copy("ioasCopy", "ioasCopySync");

// ioasUnmap(ioasId, iova, length): the bytes unmapped, or -errno.
struct IoasUnmap
    : IoctlOperation<uapi::IOMMU_IOAS_UNMAP, uapi::iommu_ioas_unmap, &uapi::iommu_ioas_unmap::length> {
  explicit IoasUnmap(const Napi::CallbackInfo& info) {
    command.ioas_id = arguments::Uint32(info[0], "ioasId");
    command.iova = arguments::Uint64(info[1], "iova");
    command.length = arguments::Uint64(info[2], "length");
  }

  MappingAccesses Accesses() const {
    return MappingAccess::Range(Kind::kUnmaps, command.ioas_id, command.iova, command.length);
  }
};

const IommufdFile::Both<IoasUnmap> ioas_unmap("ioasUnmap", "ioasUnmapSync");

}  // namespace
