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

struct IoasAllocOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::iommu_ioas_alloc command;

  int Run() { return descriptor->Ioctl(uapi::IOMMU_IOAS_ALLOC, &command); }
  Napi::Value Result(Napi::Env env) const { return Napi::Number::New(env, command.out_ioas_id); }
};

struct IoasIovaRangesOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::iommu_ioas_iova_ranges command;
  std::vector<uapi::iommu_iova_range> ranges;

  // The kernel says EMSGSIZE and how many there are; attaching a device may change that between two tries.
  int Run() {
    int status;
    do {
      ranges.resize(command.num_iovas);
      command.allowed_iovas = reinterpret_cast<uintptr_t>(ranges.data());
      status = descriptor->Ioctl(uapi::IOMMU_IOAS_IOVA_RANGES, &command);
    } while (status == -EMSGSIZE && command.num_iovas > ranges.size());
    return status;
  }

  Napi::Value Result(Napi::Env env) const {
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
};

struct IoasMapOperation {
  std::shared_ptr<const Descriptor> descriptor;
  std::shared_ptr<Pages> pages;
  uapi::iommu_ioas_map command;

  // map(ioasId, flags, memory, offset, length, iova)
  static IoasMapOperation From(const Napi::CallbackInfo& info, std::shared_ptr<const Descriptor> descriptor) {
    uapi::iommu_ioas_map command = {};
    command.size = sizeof(command);
    command.ioas_id = arguments::Uint32(info[0], "ioasId");
    command.flags = arguments::Uint32(info[1], "flags");
    auto pages = DmaMemory::FromArgument(info[2], "memory");
    const uint64_t offset = arguments::Uint64(info[3], "offset");
    command.length = arguments::Uint64(info[4], "length");
    command.iova = arguments::Uint64(info[5], "iova");
    // The one check that the kernel cannot make: that the range is ours to map.
    if (offset > pages->length()) arguments::ThrowOutOfRange(info[3], "offset", "within the memory");
    if (command.length > pages->length() - offset) {
      arguments::ThrowOutOfRange(info[4], "length", "within the memory, from the offset on");
    }
    command.user_va = reinterpret_cast<uintptr_t>(pages->address()) + offset;
    return {std::move(descriptor), std::move(pages), command};
  }

  MappingAccesses Accesses() const {
    return Placement(command.ioas_id, command.flags, command.iova, command.length);
  }
  int Run() { return descriptor->Ioctl(uapi::IOMMU_IOAS_MAP, &command); }
  Napi::Value Result(Napi::Env env) const { return Napi::BigInt::New(env, command.iova); }
};

struct IoasUnmapOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::iommu_ioas_unmap command;

  // unmap(ioasId, iova, length)
  static IoasUnmapOperation From(const Napi::CallbackInfo& info,
                                 std::shared_ptr<const Descriptor> descriptor) {
    uapi::iommu_ioas_unmap command = {};
    command.size = sizeof(command);
    command.ioas_id = arguments::Uint32(info[0], "ioasId");
    command.iova = arguments::Uint64(info[1], "iova");
    command.length = arguments::Uint64(info[2], "length");
    return {std::move(descriptor), command};
  }

  MappingAccesses Accesses() const {
    return MappingAccess::Range(Kind::kUnmaps, command.ioas_id, command.iova, command.length);
  }
  int Run() { return descriptor->Ioctl(uapi::IOMMU_IOAS_UNMAP, &command); }
  Napi::Value Result(Napi::Env env) const { return Napi::BigInt::New(env, command.length); }
};

struct IoasMapFileOperation {
  std::shared_ptr<const Descriptor> descriptor;
  std::shared_ptr<const Descriptor> file;
  uapi::iommu_ioas_map_file command;
  int status;  // of duplicating the file's descriptor

  // mapFile(ioasId, flags, fd, start, length, iova)
  //
  // The caller's descriptor is duplicated: it may be closed, and its number given to another file, while the
  // call runs. So the number itself is never used; one that is none is the kernel's to refuse.
  static IoasMapFileOperation From(const Napi::CallbackInfo& info,
                                   std::shared_ptr<const Descriptor> descriptor) {
    uapi::iommu_ioas_map_file command = {};
    command.size = sizeof(command);
    command.ioas_id = arguments::Uint32(info[0], "ioasId");
    command.flags = arguments::Uint32(info[1], "flags");
    command.fd = arguments::Fd(info[2], "fd");
    command.start = arguments::Uint64(info[3], "start");
    command.length = arguments::Uint64(info[4], "length");
    command.iova = arguments::Uint64(info[5], "iova");
    std::shared_ptr<const Descriptor> file;
    int status = Descriptor::Duplicate(command.fd, &file);
    command.fd = file ? file->fd() : -1;
    if (status == -EBADF) status = 0;
    return {std::move(descriptor), std::move(file), command, status};
  }

  MappingAccesses Accesses() const {
    return Placement(command.ioas_id, command.flags, command.iova, command.length);
  }
  int Run() { return status < 0 ? status : descriptor->Ioctl(uapi::IOMMU_IOAS_MAP_FILE, &command); }
  Napi::Value Result(Napi::Env env) const { return Napi::BigInt::New(env, command.iova); }
};

struct IoasCopyOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::iommu_ioas_copy command;

  // copy(destinationId, sourceId, flags, length, destinationIova, sourceIova)
  static IoasCopyOperation From(const Napi::CallbackInfo& info,
                                std::shared_ptr<const Descriptor> descriptor) {
    uapi::iommu_ioas_copy command = {};
    command.size = sizeof(command);
    command.dst_ioas_id = arguments::Uint32(info[0], "destinationId");
    command.src_ioas_id = arguments::Uint32(info[1], "sourceId");
    command.flags = arguments::Uint32(info[2], "flags");
    command.length = arguments::Uint64(info[3], "length");
    command.dst_iova = arguments::Uint64(info[4], "destinationIova");
    command.src_iova = arguments::Uint64(info[5], "sourceIova");
    return {std::move(descriptor), command};
  }

  MappingAccesses Accesses() const {
    return {Placement(command.dst_ioas_id, command.flags, command.dst_iova, command.length),
            MappingAccess::Range(Kind::kReads, command.src_ioas_id, command.src_iova, command.length)};
  }
  int Run() { return descriptor->Ioctl(uapi::IOMMU_IOAS_COPY, &command); }
  Napi::Value Result(Napi::Env env) const { return Napi::BigInt::New(env, command.dst_iova); }
};

struct IoasAllowIovasOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::iommu_ioas_allow_iovas command;
  std::vector<uapi::iommu_iova_range> ranges;

  int Run() {
    command.num_iovas = static_cast<uint32_t>(ranges.size());
    command.allowed_iovas = reinterpret_cast<uintptr_t>(ranges.data());
    return descriptor->Ioctl(uapi::IOMMU_IOAS_ALLOW_IOVAS, &command);
  }
  Napi::Value Result(Napi::Env env) const { return env.Undefined(); }
};

struct IoasChangeProcessOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::iommu_ioas_change_process command;

  int Run() { return descriptor->Ioctl(uapi::IOMMU_IOAS_CHANGE_PROCESS, &command); }
  Napi::Value Result(Napi::Env env) const { return env.Undefined(); }
};

}  // namespace

// ioasAlloc(): the id, or -errno.
Napi::Value IommufdFile::IoasAlloc(const Napi::CallbackInfo& info) {
  uapi::iommu_ioas_alloc command = {};
  command.size = sizeof(command);
  return RunSync(info.Env(), IoasAllocOperation{Use(), command});
}

// ioasIovaRanges(ioasId: number): { ranges: { start, last }[], alignment }, or -errno.
Napi::Value IommufdFile::IoasIovaRanges(const Napi::CallbackInfo& info) {
  uapi::iommu_ioas_iova_ranges command = {};
  command.size = sizeof(command);
  command.ioas_id = arguments::Uint32(info[0], "ioasId");
  command.num_iovas = 16;
  return RunSync(info.Env(), IoasIovaRangesOperation{Use(), command, {}});
}

// ioasMap(ioasId, flags, memory, offset, length, iova): the iova, or -errno.
Napi::Value IommufdFile::IoasMap(const Napi::CallbackInfo& info) {
  return RunAsyncInOrder(info.Env(), mapping_order_, IoasMapOperation::From(info, Use()));
}

Napi::Value IommufdFile::IoasMapSync(const Napi::CallbackInfo& info) {
  return RunSyncInOrder(info.Env(), *mapping_order_, IoasMapOperation::From(info, Borrow()));
}

// ioasMapFile(ioasId, flags, fd, start, length, iova): the iova, or -errno.
Napi::Value IommufdFile::IoasMapFile(const Napi::CallbackInfo& info) {
  return RunAsyncInOrder(info.Env(), mapping_order_, IoasMapFileOperation::From(info, Use()));
}

Napi::Value IommufdFile::IoasMapFileSync(const Napi::CallbackInfo& info) {
  return RunSyncInOrder(info.Env(), *mapping_order_, IoasMapFileOperation::From(info, Use()));
}

// ioasCopy(destinationId, sourceId, flags, length, destinationIova, sourceIova): the iova, or -errno.
Napi::Value IommufdFile::IoasCopy(const Napi::CallbackInfo& info) {
  return RunAsyncInOrder(info.Env(), mapping_order_, IoasCopyOperation::From(info, Use()));
}

Napi::Value IommufdFile::IoasCopySync(const Napi::CallbackInfo& info) {
  return RunSyncInOrder(info.Env(), *mapping_order_, IoasCopyOperation::From(info, Use()));
}

// ioasAllowIovas(ioasId, ranges: BigUint64Array of start and last in turn): undefined, or -errno.
Napi::Value IommufdFile::IoasAllowIovas(const Napi::CallbackInfo& info) {
  uapi::iommu_ioas_allow_iovas command = {};
  command.size = sizeof(command);
  command.ioas_id = arguments::Uint32(info[0], "ioasId");
  const auto values = arguments::Uint64Array(info[1], "ranges");
  if (values.length % 2 != 0) arguments::ThrowOutOfRange(info[1], "ranges", "pairs of start and last");
  std::vector<uapi::iommu_iova_range> ranges;
  for (size_t i = 0; i < values.length; i += 2) ranges.push_back({values.data[i], values.data[i + 1]});
  return RunSync(info.Env(), IoasAllowIovasOperation{Use(), command, std::move(ranges)});
}

// ioasChangeProcess(): undefined, or -errno.
Napi::Value IommufdFile::IoasChangeProcess(const Napi::CallbackInfo& info) {
  uapi::iommu_ioas_change_process command = {};
  command.size = sizeof(command);
  return RunSync(info.Env(), IoasChangeProcessOperation{Use(), command});
}

// ioasUnmap(ioasId, iova, length): the bytes unmapped, or -errno.
Napi::Value IommufdFile::IoasUnmap(const Napi::CallbackInfo& info) {
  return RunAsyncInOrder(info.Env(), mapping_order_, IoasUnmapOperation::From(info, Use()));
}

Napi::Value IommufdFile::IoasUnmapSync(const Napi::CallbackInfo& info) {
  return RunSyncInOrder(info.Env(), *mapping_order_, IoasUnmapOperation::From(info, Borrow()));
}
