#include "event_file.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "arguments.h"
#include "operation.h"
#include "uapi/iommufd.h"

Napi::Value CreateEventFd(const Napi::CallbackInfo& info) {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return fd < 0 ? Status(info.Env(), -errno) : Own<EventFile>(info.Env(), fd);
}

namespace {

const EventFile::Method<Fd<EventFile>> fd("fd");
const EventFile::Method<Wait<EventFile, UV_READABLE>> readable("readable");

// readFaults(count): { flags, deviceId, pasid, groupId, permissions, address, length, cookie }[], none where
// there is none; or -errno. At most that many: EINVAL where the first group has more.
Napi::Value ReadFaults(EventFile& file, const Napi::CallbackInfo& info) {
  constexpr uint32_t kMaxCount = 65536;
  const uint32_t count = arguments::Uint32(info[0], "count");
  if (count == 0 || count > kMaxCount)
    arguments::ThrowOutOfRange(info[0], "count", "an integer from 1 to 65536");
  std::vector<uapi::iommu_hwpt_pgfault> faults(count);
  const int status = file.Use()->Read(faults.data(), faults.size() * sizeof(faults[0]));
  if (status < 0) return Status(info.Env(), status);
  const Napi::Env env = info.Env();
  const size_t length = static_cast<size_t>(status) / sizeof(faults[0]);
  auto list = Napi::Array::New(env, length);
  for (uint32_t i = 0; i < length; i++) {
    const auto& fault = faults[i];
    auto item = Napi::Object::New(env);
    item.Set("flags", Napi::Number::New(env, fault.flags));
    item.Set("deviceId", Napi::Number::New(env, fault.dev_id));
    item.Set("pasid", Napi::Number::New(env, fault.pasid));
    item.Set("groupId", Napi::Number::New(env, fault.grpid));
    item.Set("permissions", Napi::Number::New(env, fault.perm));
    item.Set("address", Napi::BigInt::New(env, fault.addr));
    item.Set("length", Napi::Number::New(env, fault.length));
    item.Set("cookie", Napi::Number::New(env, fault.cookie));
    list.Set(i, item);
  }
  return list;
}

const EventFile::Method<ReadFaults> read_faults("readFaults");

// respondToFault(cookie, code): undefined, or -errno.
Napi::Value RespondToFault(EventFile& file, const Napi::CallbackInfo& info) {
  uapi::iommu_hwpt_page_response response = {};
  response.cookie = arguments::Uint32(info[0], "cookie");
  response.code = arguments::Uint32(info[1], "code");
  return Answer(info.Env(), file.Use()->Write(&response, sizeof(response)));
}

const EventFile::Method<RespondToFault> respond_to_fault("respondToFault");

// readEvents(dataLength, count): { flags, sequence, data }[], none where there is none; or -errno. dataLength
// is that of every event of the queue, in bytes.
Napi::Value ReadEvents(EventFile& file, const Napi::CallbackInfo& info) {
  constexpr uint32_t kMaxLength = 4096;
  const uint32_t data_length = arguments::Uint32(info[0], "dataLength");
  const uint32_t count = arguments::Uint32(info[1], "count");
  if (data_length > kMaxLength)
    arguments::ThrowOutOfRange(info[0], "dataLength", "an integer from 0 to 4096");
  if (count == 0 || count > kMaxLength)
    arguments::ThrowOutOfRange(info[1], "count", "an integer from 1 to 4096");
  uapi::iommufd_vevent_header header;
  std::vector<uint8_t> bytes(count * (sizeof(header) + data_length));
  const int status = file.Use()->Read(bytes.data(), bytes.size());
  if (status < 0) return Status(info.Env(), status);
  const Napi::Env env = info.Env();
  auto list = Napi::Array::New(env);
  const size_t end = static_cast<size_t>(status);
  for (size_t at = 0; end - at >= sizeof(header);) {
    std::memcpy(&header, bytes.data() + at, sizeof(header));
    at += sizeof(header);
    // A header that says that events were lost has no event behind it.
    const size_t length = (header.flags & uapi::IOMMU_VEVENTQ_FLAG_LOST_EVENTS) != 0 ? 0 : data_length;
    if (length > end - at) return Status(env, -EINVAL);  // the events of this queue have another length
    auto data = Napi::Uint8Array::New(env, length);
    if (length > 0) std::memcpy(data.Data(), bytes.data() + at, length);
    at += length;
    auto item = Napi::Object::New(env);
    item.Set("flags", Napi::Number::New(env, header.flags));
    item.Set("sequence", Napi::Number::New(env, header.sequence));
    item.Set("data", data);
    list.Set(list.Length(), item);
  }
  return list;
}

const EventFile::Method<ReadEvents> read_events("readEvents");

// readCount(): what the counter of an eventfd has come to since it was last read, 0n where it has not moved;
// or -errno.
Napi::Value ReadCount(EventFile& file, const Napi::CallbackInfo& info) {
  uint64_t count = 0;
  const int status = file.Use()->Read(&count, sizeof(count));
  return Answer(info.Env(), status == -EAGAIN ? 0 : status, count);
}

const EventFile::Method<ReadCount> read_count("readCount");

}  // namespace
