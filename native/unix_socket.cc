#include "unix_socket.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "addon.h"
#include "arguments.h"
#include "operation.h"

namespace {

// The most descriptors that Linux passes in one message (SCM_MAX_FD).
constexpr size_t kMaxDescriptors = 253;
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

Napi::Value Own(Napi::Env env, int fd) {
  auto descriptor = std::make_shared<const Descriptor>(fd);
  return Construct(Addon::Of(env).unix_socket, env, &descriptor);
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
  return Own(info.Env(), fd);
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

}  // namespace

Napi::Function UnixSocket::Define(Napi::Env env) {
  return DefineClass(env, "UnixSocket",
                     {
                         InstanceMethod<&UnixSocket::Close>("close"),
                         InstanceMethod<&UnixSocket::Accept>("accept"),
                         InstanceMethod<&UnixSocket::Send>("send"),
                         InstanceMethod<&UnixSocket::Receive>("receive"),
                         InstanceMethod<&UnixSocket::Readable>("readable"),
                         InstanceMethod<&UnixSocket::Writable>("writable"),
                     });
}

Napi::Value UnixSocket::Connect(const Napi::CallbackInfo& info) {
  return Open(info,
              [](int fd, const sockaddr* address) { return connect(fd, address, sizeof(sockaddr_un)); });
}

Napi::Value UnixSocket::Listen(const Napi::CallbackInfo& info) {
  return Open(info, [](int fd, const sockaddr* address) {
    const int status = bind(fd, address, sizeof(sockaddr_un));
    return status < 0 ? status : listen(fd, kBacklog);
  });
}

UnixSocket::UnixSocket(const Napi::CallbackInfo& info) : Napi::ObjectWrap<UnixSocket>(info) {
  if (!info[0].IsExternal())
    arguments::ThrowInvalidType(info[0], "the argument", "made by connectUnixSocket()");
  descriptor_ = *info[0].As<Napi::External<std::shared_ptr<const Descriptor>>>().Data();
}

std::shared_ptr<const Descriptor> UnixSocket::Use() const {
  if (!descriptor_) arguments::ThrowClosed(Env(), "UnixSocket");
  return descriptor_;
}

// close(). A wait that is running ends with false.
Napi::Value UnixSocket::Close(const Napi::CallbackInfo& info) {
  descriptor_.reset();
  if (read_wait_ != nullptr) read_wait_->Cancel();
  if (write_wait_ != nullptr) write_wait_->Cancel();
  return info.Env().Undefined();
}

// accept(): UnixSocket, or -errno.
Napi::Value UnixSocket::Accept(const Napi::CallbackInfo& info) {
  const int fd = accept4(Use()->fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  return fd < 0 ? Status(info.Env(), -errno) : Own(info.Env(), fd);
}

// send(bytes: Uint8Array, fds: number[]): how many bytes, or -errno. The descriptors go with the first byte.
Napi::Value UnixSocket::Send(const Napi::CallbackInfo& info) {
  if (!info[1].IsArray()) arguments::ThrowInvalidType(info[1], "fds", "an array");
  const auto list = info[1].As<Napi::Array>();
  // Read once: a getter in the list could make it longer meanwhile, and the message has room for no more.
  const uint32_t count = list.Length();
  if (count > kMaxDescriptors) arguments::ThrowOutOfRange(info[1], "fds", "at most 253 descriptors");
  std::vector<int> fds;
  for (uint32_t i = 0; i < count; i++) fds.push_back(arguments::Fd(list.Get(i), "fds"));

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
  const ssize_t sent = sendmsg(Use()->fd(), &message.header, MSG_NOSIGNAL);
  return sent < 0 ? Status(info.Env(), -errno) : Status(info.Env(), static_cast<int>(sent));
}

// receive(capacity): { data: Uint8Array, fds: number[] }, or -errno. No data: the other end has closed. The
// descriptors are the caller's to close.
Napi::Value UnixSocket::Receive(const Napi::CallbackInfo& info) {
  const uint32_t capacity = arguments::Uint32(info[0], "capacity");
  if (capacity == 0 || capacity > kMaxMessage)
    arguments::ThrowOutOfRange(info[0], "capacity", "from 1 to 1048576");
  std::vector<uint8_t> bytes(capacity);
  Message message(bytes.data(), bytes.size());
  const ssize_t received = recvmsg(Use()->fd(), &message.header, MSG_CMSG_CLOEXEC);
  if (received < 0) return Status(info.Env(), -errno);
  bytes.resize(static_cast<size_t>(received));
  auto fds = Napi::Array::New(info.Env());
  for (cmsghdr* control = CMSG_FIRSTHDR(&message.header); control != nullptr;
       control = CMSG_NXTHDR(&message.header, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(control) + i * sizeof(fd), sizeof(fd));
      fds.Set(fds.Length(), Napi::Number::New(info.Env(), fd));
    }
  }
  auto result = Napi::Object::New(info.Env());
  result.Set("data", arguments::NewBytes(info.Env(), bytes));
  result.Set("fds", fds);
  return result;
}

// readable(), writable(): a promise of true once it is so, and of false once it is closed; -errno where
// another wait for the same is running.
Napi::Value UnixSocket::Readable(const Napi::CallbackInfo& info) {
  return Wait::Start(info.This().As<Napi::Object>(), Use(), UV_READABLE, &read_wait_);
}

Napi::Value UnixSocket::Writable(const Napi::CallbackInfo& info) {
  // The event loop waits for a descriptor once; a duplicate is another one to it.
  std::shared_ptr<const Descriptor> duplicate;
  const int status = Descriptor::Duplicate(Use()->fd(), &duplicate);
  if (status < 0) return Status(info.Env(), status);
  return Wait::Start(info.This().As<Napi::Object>(), std::move(duplicate), UV_WRITABLE, &write_wait_);
}
