#include "unix_socket.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "arguments.h"
#include "descriptor_list.h"
#include "operation.h"

namespace {

constexpr size_t kMaxMessage = size_t{1} << 20;
constexpr int kBacklog = 64;

sockaddr_un Address(Napi::Value value) {
  const std::string path = arguments::Path(value, "path");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path))
    arguments::ThrowOutOfRange(value, "path", "at most 107 bytes long");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

// A new socket on which one call is made with the address, or -errno.
template <typename Call>
Napi::Value Open(const Napi::CallbackInfo& info, Call call) {
  const sockaddr_un address = Address(info[0]);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Status(info.Env(), -errno);
  if (call(fd, reinterpret_cast<const sockaddr*>(&address)) < 0) {
    const int error = errno;
    close(fd);
    return Status(info.Env(), -error);
  }
  return Own<UnixSocket>(info.Env(), fd);
}

// A message of one buffer, with room for descriptors.
struct Message {
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))] = {};
  iovec part = {};
  msghdr header = {};

  Message(void* bytes, size_t length) : part{bytes, length} {
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
  }
};

// accept(): UnixSocket, or -errno.
Napi::Value Accept(UnixSocket& file, const Napi::CallbackInfo& info) {
  const int fd = accept4(file.Use()->fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  return fd < 0 ? Status(info.Env(), -errno) : Own<UnixSocket>(info.Env(), fd);
}

const UnixSocket::Method<Accept> accept("accept");

// send(bytes: Uint8Array, descriptors?: DescriptorList): how many bytes, or -errno. The descriptors go with
// the first byte.
Napi::Value Send(UnixSocket& file, const Napi::CallbackInfo& info) {
  std::vector<int> fds;
  if (!info[1].IsUndefined()) {
    for (const auto& descriptor : *DescriptorList::FromArgument(info[1], "descriptors")) {
      fds.push_back(descriptor->fd());
    }
  }
  const auto bytes = arguments::Bytes(info[0], "bytes");
  Message message(bytes.data, bytes.length);
  message.header.msg_controllen = fds.empty() ? 0 : CMSG_SPACE(fds.size() * sizeof(int));
  if (!fds.empty()) {
    cmsghdr* control = CMSG_FIRSTHDR(&message.header);
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(control), fds.data(), fds.size() * sizeof(int));
  }
  const ssize_t sent = sendmsg(file.Use()->fd(), &message.header, MSG_NOSIGNAL);
  return sent < 0 ? Status(info.Env(), -errno) : Status(info.Env(), static_cast<int>(sent));
}

const UnixSocket::Method<Send> send("send");

// receive(capacity): { data: Uint8Array, fds: number[] }, or -errno. No data: the other end has closed. The
// descriptors are the caller's to close.
Napi::Value Receive(UnixSocket& file, const Napi::CallbackInfo& info) {
  const uint32_t capacity = arguments::Uint32(info[0], "capacity");
  if (capacity == 0 || capacity > kMaxMessage)
    arguments::ThrowOutOfRange(info[0], "capacity", "from 1 to 1048576");
  std::vector<uint8_t> bytes(capacity);
  Message message(bytes.data(), bytes.size());
  const ssize_t received = recvmsg(file.Use()->fd(), &message.header, MSG_CMSG_CLOEXEC);
  if (received < 0) return Status(info.Env(), -errno);
  bytes.resize(static_cast<size_t>(received));
  // They are ours until JavaScript has their numbers: the result may be what there is no memory for.
  std::vector<std::unique_ptr<Descriptor>> owned;
  for (cmsghdr* control = CMSG_FIRSTHDR(&message.header); control != nullptr;
       control = CMSG_NXTHDR(&message.header, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(control) + i * sizeof(fd), sizeof(fd));
      owned.push_back(std::make_unique<Descriptor>(fd));
    }
  }
  auto fds = Napi::Array::New(info.Env(), owned.size());
  for (size_t i = 0; i < owned.size(); i++) {
    fds.Set(static_cast<uint32_t>(i), Napi::Number::New(info.Env(), owned[i]->fd()));
  }
  auto result = Napi::Object::New(info.Env());
  result.Set("data", arguments::NewBytes(info.Env(), bytes));
  result.Set("fds", fds);
  for (const auto& descriptor : owned) descriptor->Release();
  return result;
}

const UnixSocket::Method<Receive> receive("receive");

const UnixSocket::Method<Wait<UnixSocket, UV_READABLE>> readable("readable");
const UnixSocket::Method<Wait<UnixSocket, UV_WRITABLE>> writable("writable");

}  // namespace

Napi::Value ConnectUnixSocket(const Napi::CallbackInfo& info) {
  return Open(info,
              [](int fd, const sockaddr* address) { return connect(fd, address, sizeof(sockaddr_un)); });
}

Napi::Value ListenUnixSocket(const Napi::CallbackInfo& info) {
  return Open(info, [](int fd, const sockaddr* address) {
    const int status = bind(fd, address, sizeof(sockaddr_un));
    return status < 0 ? status : listen(fd, kBacklog);
  });
}
