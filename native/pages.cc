#include "pages.h"

#include <fcntl.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "arguments.h"
#include "operation.h"

namespace {

// MADV_POPULATE_WRITE, since Linux 5.14; Debian 12's C library has no name for it everywhere.
constexpr int kPopulateWrite = 23;

uint64_t UsualPageSize() { return static_cast<uint64_t>(sysconf(_SC_PAGESIZE)); }

}  // namespace

int Pages::Allocate(size_t length, size_t page_size, bool anonymous, std::shared_ptr<Pages>* out) {
  // Both calls take the size of huge pages in the same bits.
  const bool huge = page_size != UsualPageSize();
  const unsigned int size_bits =
      huge ? static_cast<unsigned int>(__builtin_ctzll(page_size)) << MAP_HUGE_SHIFT : 0;
  if (anonymous) {
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (huge ? MAP_HUGETLB | static_cast<int>(size_bits) : 0);
    void* address = mmap(nullptr, length, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (address == MAP_FAILED) return -errno;
    *out = std::make_shared<Pages>(nullptr, std::make_shared<const AddressRange>(address, length));
    return 0;
  }
  const int fd =
      memfd_create("iommufd", MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB | size_bits : 0));
  if (fd < 0) return -errno;
  auto memfd = std::make_shared<const Descriptor>(fd);
  if (ftruncate(fd, static_cast<off_t>(length)) < 0) return -errno;
  // A user of the descriptor could cut the file, and an access to a part that was cut off ends the process
  // (SIGBUS).
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) return -errno;
  return Map(std::move(memfd), PROT_READ | PROT_WRITE, 0, length, out);
}

int Pages::Prefault() const {
  int status;
  do {
    status = madvise(address(), length(), kPopulateWrite);
  } while (status < 0 && errno == EINTR);
  return status < 0 ? -errno : 0;
}

int Pages::Map(std::shared_ptr<const Descriptor> file, int protection, off_t offset, size_t length,
               std::shared_ptr<Pages>* out) {
  void* address = mmap(nullptr, length, protection, MAP_SHARED, file->fd(), offset);
  if (address == MAP_FAILED) return -errno;
  *out = std::make_shared<Pages>(std::move(file), std::make_shared<const AddressRange>(address, length),
                                 (protection & PROT_WRITE) != 0);
  return 0;
}

AddressRange::~AddressRange() { munmap(address_, length_); }

void Pages::Leave() {
  new std::shared_ptr<const AddressRange>(range_);  // never given up
  left_ = true;
}

// Somebody else may still use the addresses: a read of a file into a detached ArrayBuffer goes on. It must
// not find there what the process maps next. Where empty memory cannot be had, the pages stay with the
// addresses.
Pages::~Pages() {
  if (left_ || range_.use_count() == 1) return;
  mmap(address(), length(), PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
       -1, 0);
}

Napi::Value AllocMemory(const Napi::CallbackInfo& info) {
  const uint64_t length = arguments::Uint64(info[0], "length");
  const uint64_t page_size = arguments::Uint64(info[1], "pageSize");
  if (page_size < UsualPageSize() || (page_size & (page_size - 1)) != 0) {
    arguments::ThrowOutOfRange(info[1], "pageSize", "a power of two of at least the page size");
  }
  if (length == 0 || length % page_size != 0 || length > static_cast<uint64_t>(INT64_MAX)) {
    arguments::ThrowOutOfRange(info[0], "length", "a positive multiple of the page size");
  }
  const bool anonymous = arguments::Boolean(info[2], "anonymous");
  std::shared_ptr<Pages> pages;
  const int status = Pages::Allocate(length, page_size, anonymous, &pages);
  return status < 0 ? Status(info.Env(), status) : DmaMemory::New(info.Env(), std::move(pages));
}

Napi::Value MapRegionOf(const std::shared_ptr<const Descriptor>& file, const Napi::CallbackInfo& info,
                        int protection) {
  const off_t position = arguments::Position(info[0], "position");
  const uint64_t length = arguments::Uint64(info[1], "length");
  std::shared_ptr<Pages> pages;
  const int status = Pages::Map(file, protection, position, length, &pages);
  return status < 0 ? Status(info.Env(), status) : MappedRegion::New(info.Env(), std::move(pages));
}

namespace {

const DmaMemory::Method<Buffer<DmaMemory>> buffer("buffer");
const MappedRegion::Method<Buffer<MappedRegion>> region_buffer("buffer");

// fd(): number, or -EBADF where it is anonymous. The memory as a file; it stays the DmaMemory's to close.
Napi::Value Fd(DmaMemory& memory, const Napi::CallbackInfo& info) {
  const int fd = memory.Use()->fd();
  return Status(info.Env(), fd < 0 ? -EBADF : fd);
}

const DmaMemory::Method<Fd> fd("fd");

// token(): what ioasMap() and its like take in place of the object.
Napi::Value Token(DmaMemory& memory, const Napi::CallbackInfo&) { return memory.Token(); }

const DmaMemory::Method<Token> token("token");

// prefault(): undefined, or -errno.
struct Prefault {
  std::shared_ptr<Pages> native;

  explicit Prefault(const Napi::CallbackInfo&) {}

  int Run() { return native->Prefault(); }
  Napi::Value Result(Napi::Env env) const { return env.Undefined(); }
};

const DmaMemory::Both<Prefault> prefault("prefault", "prefaultSync");

}  // namespace
