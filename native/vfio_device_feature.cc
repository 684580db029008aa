// VFIO_DEVICE_FEATURE: what a device can do beyond reading, writing and interrupts.

#include <fcntl.h>

#include <cstring>
#include <vector>

#include "arguments.h"
#include "dirty_bitmap.h"
#include "dma_buf.h"
#include "operation.h"
#include "uapi/vfio.h"
#include "vfio_device_file.h"

namespace {

// struct vfio_device_feature and what follows it: a structure of the feature, and for some a list.
class FeatureCall {
 public:
  FeatureCall(uint32_t flags, const void* data, size_t length, const void* list = nullptr,
              size_t list_length = 0)
      : bytes_(sizeof(uapi::vfio_device_feature) + length + list_length) {
    uapi::vfio_device_feature header = {};
    header.argsz = static_cast<uint32_t>(bytes_.size());
    header.flags = flags;
    std::memcpy(bytes_.data(), &header, sizeof(header));
    if (length > 0) std::memcpy(Data(), data, length);
    if (list_length > 0) std::memcpy(Data() + length, list, list_length);
  }

  // 0 or more, or -errno.
  int Ask(const Descriptor& descriptor) { return descriptor.Ioctl(uapi::VFIO_DEVICE_FEATURE, bytes_.data()); }

  uint8_t* Data() { return bytes_.data() + sizeof(uapi::vfio_device_feature); }

 private:
  std::vector<uint8_t> bytes_;
};

// The features whose structures are bytes and nothing else. Others hold descriptors, or addresses, which
// JavaScript must never choose. These have functions of their own, and so must all future ones.
bool IsPlain(uint32_t feature) {
  switch (feature) {
    case uapi::VFIO_DEVICE_FEATURE_PCI_VF_TOKEN:
    case uapi::VFIO_DEVICE_FEATURE_MIGRATION:
    case uapi::VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY:
    case uapi::VFIO_DEVICE_FEATURE_LOW_POWER_EXIT:
    case uapi::VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP:
    case uapi::VFIO_DEVICE_FEATURE_MIG_DATA_SIZE:
    case uapi::VFIO_DEVICE_FEATURE_BUS_MASTER:
      return true;
    default:
      return false;
  }
}

// Pairs of 64-bit values, as the structures of ranges are made.
arguments::Span<uint64_t> Pairs(Napi::Value value, const char* name) {
  constexpr size_t kMaxLength = 2 * 65536;
  const auto values = arguments::Uint64Array(value, name);
  if (values.length == 0 || values.length % 2 != 0 || values.length > kMaxLength) {
    arguments::ThrowOutOfRange(value, name, "from 1 to 65536 pairs of start and length");
  }
  return values;
}

// feature(flags: number, data: Uint8Array): the data after the call, or -errno. Any feature may be probed.
Napi::Value Feature(VfioDeviceFile& file, const Napi::CallbackInfo& info) {
  constexpr size_t kMaxData = 65536;
  const uint32_t flags = arguments::Uint32(info[0], "flags");
  const auto data = arguments::Bytes(info[1], "data");
  if (data.length > kMaxData) arguments::ThrowOutOfRange(info[1], "data", "at most 65536 bytes");
  if ((flags & uapi::VFIO_DEVICE_FEATURE_PROBE) == 0 && !IsPlain(flags & uapi::VFIO_DEVICE_FEATURE_MASK)) {
    arguments::ThrowOutOfRange(info[0], "flags",
                               "of a feature whose data has no addresses and no descriptors");
  }
  FeatureCall feature(flags, data.data, data.length);
  const int status = feature.Ask(*file.Use());
  if (status < 0) return Status(info.Env(), status);
  return arguments::NewBytes(info.Env(), {feature.Data(), feature.Data() + data.length});
}

const VfioDeviceFile::Method<Feature> feature("feature");

// exportDmaBuf(regionIndex, ranges: BigUint64Array of offset and length in turn): DmaBuf, or -errno.
Napi::Value ExportDmaBuf(VfioDeviceFile& file, const Napi::CallbackInfo& info) {
  uapi::vfio_device_feature_dma_buf request = {};
  request.region_index = arguments::Uint32(info[0], "regionIndex");
  const auto ranges = Pairs(info[1], "ranges");
  request.open_flags = O_RDWR | O_CLOEXEC;
  request.nr_ranges = static_cast<uint32_t>(ranges.length / 2);
  FeatureCall feature(uapi::VFIO_DEVICE_FEATURE_GET | uapi::VFIO_DEVICE_FEATURE_DMA_BUF, &request,
                      sizeof(request), ranges.data, ranges.length * sizeof(uint64_t));
  const int fd = feature.Ask(*file.Use());
  if (fd < 0) return Status(info.Env(), fd);
  return Own<DmaBuf>(info.Env(), fd);
}

const VfioDeviceFile::Method<ExportDmaBuf> export_dma_buf("exportDmaBuf");

// startDmaLogging(pageSize: bigint, ranges: BigUint64Array of IOVA and length in turn): the page size that
// the device has chosen, or -errno.
Napi::Value StartDmaLogging(VfioDeviceFile& file, const Napi::CallbackInfo& info) {
  uapi::vfio_device_feature_dma_logging_control request = {};
  request.page_size = arguments::Uint64(info[0], "pageSize");
  if (request.page_size == 0 || (request.page_size & (request.page_size - 1)) != 0) {
    arguments::ThrowOutOfRange(info[0], "pageSize", "a power of two");
  }
  const auto ranges = Pairs(info[1], "ranges");
  request.num_ranges = static_cast<uint32_t>(ranges.length / 2);
  // Read by the kernel before the call returns.
  request.ranges = reinterpret_cast<uintptr_t>(ranges.data);
  FeatureCall feature(uapi::VFIO_DEVICE_FEATURE_SET | uapi::VFIO_DEVICE_FEATURE_DMA_LOGGING_START, &request,
                      sizeof(request));
  const int status = feature.Ask(*file.Use());
  if (status < 0) return Status(info.Env(), status);
  std::memcpy(&request, feature.Data(), sizeof(request));
  return Napi::BigInt::New(info.Env(), request.page_size);
}

const VfioDeviceFile::Method<StartDmaLogging> start_dma_logging("startDmaLogging");

// reportDmaLogging(iova, length, pageSize): the bitmap of what was written, or -errno.
Napi::Value ReportDmaLogging(VfioDeviceFile& file, const Napi::CallbackInfo& info) {
  uapi::vfio_device_feature_dma_logging_report request = {};
  request.iova = arguments::Uint64(info[0], "iova");
  DirtyBitmap bitmap(info[1], info[2]);
  request.length = bitmap.length();
  request.page_size = bitmap.page_size();
  request.bitmap = bitmap.Make(info.Env());
  if (request.bitmap == 0) return Status(info.Env(), -ENOMEM);
  FeatureCall feature(uapi::VFIO_DEVICE_FEATURE_GET | uapi::VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, &request,
                      sizeof(request));
  const int status = feature.Ask(*file.Use());
  return status < 0 ? Status(info.Env(), status) : bitmap.Result();
}

const VfioDeviceFile::Method<ReportDmaLogging> report_dma_logging("reportDmaLogging");

}  // namespace
