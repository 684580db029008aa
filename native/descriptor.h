// A file descriptor with shared ownership.
//
// Every running call holds a reference, so the descriptor is closed only after the last call on it has
// returned. So a reused fd number never receives a stale ioctl. JavaScript's close() drops its own reference
// and refuses new calls. The close(2) happens when nothing can use the number any more.

#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <string>

class Descriptor {
 public:
  // Opens a path for reading and writing, close-on-exec. Returns 0 or -errno.
  static int Open(const std::string& path, std::shared_ptr<const Descriptor>* out);

  // Duplicates a descriptor that belongs to someone else, close-on-exec. Returns 0 or -errno.
  static int Duplicate(int fd, std::shared_ptr<const Descriptor>* out);

  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int fd() const { return fd_; }

  // Leaves closing it to somebody else.
  void Release() { fd_ = -1; }

  // Issues an ioctl, again for as long as a signal interrupts it. Returns 0 or more on success, -errno on
  // failure.
  int Ioctl(unsigned long request, void* argument) const;

  // Reads or writes at a position, all or less; again for as long as a signal interrupts it. Returns the
  // number of bytes, or -errno.
  int Read(void* bytes, size_t count, off_t position) const;
  int Write(const void* bytes, size_t count, off_t position) const;

  // The same of a descriptor that has no positions.
  int Read(void* bytes, size_t count) const;
  int Write(const void* bytes, size_t count) const;

 private:
  int fd_;
};
