#include "pages.h"

#include <linux/mman.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "addon.h"
#include "arguments.h"
#include "operation.h"

namespace {

// The most that an ArrayBuffer can show in Node.js 20 (buffer.constants.MAX_LENGTH). It is checked here,
// because when Node.js refuses a length itself, both it and node-addon-api run the finalizer.
constexpr size_t kMaxBufferLength = size_t{1} << 32;

// MADV_POPULATE_WRITE, since Linux 5.14; Debian 12's C library has no name for it everywhere.
constexpr int kPopulateWrite = 23;

uint64_t UsualPageSize() { return static_cast<uint64_t>(sysconf(_SC_PAGESIZE)); }

struct PrefaultOperation {
  std::shared_ptr<Pages> pages;

  int Run() { return pages->Prefault(); }
  Napi::Value Result(Napi::Env env) const { return env.Undefined(); }
};

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
    *out = std::make_shared<Pages>(nullptr, address, length);
    return 0;
  }
  const int fd = memfd_create("iommufd", MFD_CLOEXEC | (huge ? MFD_HUGETLB | size_bits : 0));
  if (fd < 0) return -errno;
  auto memfd = std::make_shared<const Descriptor>(fd);
  if (ftruncate(fd, static_cast<off_t>(length)) < 0) return -errno;
  return Map(std::move(memfd), PROT_READ | PROT_WRITE, 0, length, out);
}

int Pages::Prefault() const {
  int status;
  do {
    status = madvise(address_, length_, kPopulateWrite);
  } while (status < 0 && errno == EINTR);
  return status < 0 ? -errno : 0;
}

int Pages::Map(std::shared_ptr<const Descriptor> file, int protection, off_t offset, size_t length,
               std::shared_ptr<Pages>* out) {
  void* address = mmap(nullptr, length, protection, MAP_SHARED, file->fd(), offset);
  if (address == MAP_FAILED) return -errno;
  *out = std::make_shared<Pages>(std::move(file), address, length);
  return 0;
}

Pages::~Pages() { munmap(address_, length_); }

Napi::Function DmaMemory::Define(Napi::Env env) {
  return DefineClass(env, "DmaMemory",
                     {
                         InstanceMethod<&DmaMemory::Buffer>("buffer"),
                         InstanceMethod<&DmaMemory::Fd>("fd"),
                         InstanceMethod<&DmaMemory::Prefault>("prefault"),
                         InstanceMethod<&DmaMemory::PrefaultSync>("prefaultSync"),
                         InstanceMethod<&DmaMemory::Close>("close"),
                     });
}

Napi::Value DmaMemory::Allocate(const Napi::CallbackInfo& info) {
  const uint64_t length = arguments::Uint64(info[0], "length");
  const uint64_t page_size = arguments::Uint64(info[1], "pageSize");
  if (page_size < UsualPageSize() || (page_size & (page_size - 1)) != 0) {
    arguments::ThrowOutOfRange(info[1], "pageSize", "a power of two of at least the page size");
  }
  if (length == 0 || length % page_size != 0 || length > static_cast<uint64_t>(INT64_MAX)) {
    arguments::ThrowOutOfRange(info[0], "length", "a positive multiple of the page size");
  }
  if (!info[2].IsBoolean()) arguments::ThrowInvalidType(info[2], "anonymous", "a boolean");
  std::shared_ptr<Pages> pages;
  const int status = Pages::Allocate(length, page_size, info[2].As<Napi::Boolean>().Value(), &pages);
  if (status < 0) return Napi::Number::New(info.Env(), status);
  return Construct(Addon::Of(info.Env()).dma_memory, info.Env(), &pages);
}

std::shared_ptr<Pages> DmaMemory::FromArgument(Napi::Value value, const char* name) {
  void* wrapped = nullptr;
  const DmaMemories& memories = *Addon::Of(value.Env()).memories;
  if (napi_unwrap(value.Env(), value, &wrapped) != napi_ok) wrapped = nullptr;
  const auto found = memories.find(static_cast<DmaMemory*>(wrapped));
  if (found == memories.end()) arguments::ThrowInvalidType(value, name, "a DmaMemory");
  return (*found)->Use();
}

DmaMemory::DmaMemory(const Napi::CallbackInfo& info) : Napi::ObjectWrap<DmaMemory>(info) {
  if (!info[0].IsExternal()) arguments::ThrowInvalidType(info[0], "the argument", "made by allocMemory()");
  pages_ = *info[0].As<Napi::External<std::shared_ptr<Pages>>>().Data();
  memories_ = Addon::Of(info.Env()).memories;
  memories_->insert(this);
}

DmaMemory::~DmaMemory() {
  if (memories_) memories_->erase(this);
}

std::shared_ptr<Pages> DmaMemory::Use() const {
  if (!pages_) arguments::ThrowClosed(Env(), "DmaMemory");
  return pages_;
}

Napi::Value DmaMemory::Buffer(const Napi::CallbackInfo& info) { return buffer_.Get(info.Env(), Use()); }

// fd(): number, or -EBADF where it is anonymous. The memory as a file; it stays the DmaMemory's to close.
Napi::Value DmaMemory::Fd(const Napi::CallbackInfo& info) {
  const int fd = Use()->fd();
  return Status(info.Env(), fd < 0 ? -EBADF : fd);
}

// prefault(): undefined, or -errno.
Napi::Value DmaMemory::Prefault(const Napi::CallbackInfo& info) {
  return RunAsync(info.Env(), PrefaultOperation{Use()});
}

Napi::Value DmaMemory::PrefaultSync(const Napi::CallbackInfo& info) {
  return RunSync(info.Env(), PrefaultOperation{Use()});
}

Napi::Value DmaMemory::Close(const Napi::CallbackInfo& info) {
  buffer_.Detach();
  pages_.reset();
  return info.Env().Undefined();
}

Napi::Function MappedRegion::Define(Napi::Env env) {
  return DefineClass(env, "MappedRegion",
                     {
                         InstanceMethod<&MappedRegion::Buffer>("buffer"),
                         InstanceMethod<&MappedRegion::Close>("close"),
                     });
}

Napi::Value MappedRegion::Map(const Napi::CallbackInfo& info, std::shared_ptr<const Descriptor> file,
                              int protection) {
  const off_t position = arguments::Position(info[0], "position");
  const uint64_t length = arguments::Uint64(info[1], "length");
  std::shared_ptr<Pages> pages;
  const int status = Pages::Map(std::move(file), protection, position, length, &pages);
  if (status < 0) return Napi::Number::New(info.Env(), status);
  return Construct(Addon::Of(info.Env()).mapped_region, info.Env(), &pages);
}

MappedRegion::MappedRegion(const Napi::CallbackInfo& info) : Napi::ObjectWrap<MappedRegion>(info) {
  if (!info[0].IsExternal()) arguments::ThrowInvalidType(info[0], "the argument", "made by mapRegion()");
  pages_ = *info[0].As<Napi::External<std::shared_ptr<Pages>>>().Data();
}

Napi::Value MappedRegion::Buffer(const Napi::CallbackInfo& info) {
  if (!pages_) arguments::ThrowClosed(info.Env(), "MappedRegion");
  return buffer_.Get(info.Env(), pages_);
}

Napi::Value MappedRegion::Close(const Napi::CallbackInfo& info) {
  buffer_.Detach();
  pages_.reset();
  return info.Env().Undefined();
}

Napi::ArrayBuffer PagesBuffer::Current() const {
  return buffer_.IsEmpty() ? Napi::ArrayBuffer() : buffer_.Value();
}

Napi::ArrayBuffer PagesBuffer::Get(Napi::Env env, const std::shared_ptr<Pages>& pages) {
  const Napi::ArrayBuffer current = Current();
  if (!current.IsEmpty()) return current;
  if (pages->length() > kMaxBufferLength) {
    arguments::ThrowOutOfRange(Napi::BigInt::New(env, uint64_t{pages->length()}), "length",
                               "at most 4 GiB to be seen as an ArrayBuffer");
  }
  // The ArrayBuffer owns a share of the pages, so they stay for as long as JavaScript can read it.
  auto share = std::make_unique<std::shared_ptr<Pages>>(pages);
  const auto buffer = Napi::ArrayBuffer::New(
      env, pages->address(), pages->length(),
      [](Napi::Env, void*, std::shared_ptr<Pages>* owner) { delete owner; }, share.get());
  share_ = share.release();
  buffer_ = Napi::Reference<Napi::ArrayBuffer>::New(buffer, 0);
  return buffer;
}

void PagesBuffer::Detach() {
  Napi::ArrayBuffer current = Current();
  if (current.IsEmpty()) return;
  // The finalizer, which comes later, finds the share empty.
  const std::shared_ptr<Pages> share = std::move(*share_);
  current.Detach();
  buffer_.Reset();
}
