#include "descriptor.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

int Descriptor::Open(const std::string& path, std::shared_ptr<const Descriptor>* out) {
  int fd;
  do {
    fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return -errno;
  *out = std::make_shared<const Descriptor>(fd);
  return 0;
}

int Descriptor::Duplicate(int fd, std::shared_ptr<const Descriptor>* out) {
  const int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (duplicate < 0) return -errno;
  *out = std::make_shared<const Descriptor>(duplicate);
  return 0;
}

// Linux releases the number even when close() reports EINTR, so it is never retried.
Descriptor::~Descriptor() {
  if (fd_ >= 0) close(fd_);
}

namespace {

// Makes a system call again for as long as a signal interrupts it.
template <typename Call>
int Retry(Call call) {
  ssize_t result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : static_cast<int>(result);
}

}  // namespace

int Descriptor::Ioctl(unsigned long request, void* argument) const {
  return Retry([&] { return ioctl(fd_, request, argument); });
}

int Descriptor::Read(void* bytes, size_t count, off_t position) const {
  return Retry([&] { return pread(fd_, bytes, count, position); });
}

int Descriptor::Write(const void* bytes, size_t count, off_t position) const {
  return Retry([&] { return pwrite(fd_, bytes, count, position); });
}

int Descriptor::Read(void* bytes, size_t count) const {
  return Retry([&] { return read(fd_, bytes, count); });
}

int Descriptor::Write(const void* bytes, size_t count) const {
  return Retry([&] { return write(fd_, bytes, count); });
}
