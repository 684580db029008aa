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
Descriptor::~Descriptor() { close(fd_); }

int Descriptor::Ioctl(unsigned long request, void* argument) const {
  int result;
  do {
    result = ioctl(fd_, request, argument);
  } while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : result;
}

int Descriptor::Read(void* bytes, size_t count, off_t position) const {
  ssize_t result;
  do {
    result = pread(fd_, bytes, count, position);
  } while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : static_cast<int>(result);
}

int Descriptor::Write(const void* bytes, size_t count, off_t position) const {
  ssize_t result;
  do {
    result = pwrite(fd_, bytes, count, position);
  } while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : static_cast<int>(result);
}
