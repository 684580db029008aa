// Registers of a mapped region: each access is one load or store of its width, which no compiler leaves out,
// repeats, splits or moves. Typed arrays on the region promise none of that.
//
// The order is that of readl() and writel() in Linux (Documentation/driver-api/device-io.rst). The device
// sees a write after everything that this thread wrote to memory before. A read of memory behind a read of a
// register in the program comes after it. So a doorbell never overtakes the command that it announces.

#include <atomic>
#include <cstring>
#include <type_traits>

#include "arguments.h"
#include "operation.h"
#include "pages.h"

namespace {

// x86 keeps this order by itself, for registers are mapped uncached. The device is outside of the inner
// shareable domain of the processors, hence the barriers that Arm calls outer shareable.
void BarrierAfterRead() {
#if defined(__aarch64__)
  asm volatile("dmb oshld" ::: "memory");
#elif defined(__x86_64__)
  asm volatile("" ::: "memory");
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

void BarrierBeforeWrite() {
#if defined(__aarch64__)
  asm volatile("dmb oshst" ::: "memory");
#elif defined(__x86_64__)
  asm volatile("" ::: "memory");
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

// Where a register is in the process; throws where the region has none there.
template <typename Width>
volatile Width* Register(const Pages& pages, Napi::Value argument) {
  const uint64_t offset = arguments::Uint64(argument, "offset");
  if (offset % sizeof(Width) != 0 || pages.length() < sizeof(Width) ||
      offset > pages.length() - sizeof(Width)) {
    arguments::ThrowOutOfRange(argument, "offset",
                               sizeof(Width) == 4 ? "a multiple of 4 within the mapped region"
                                                  : "a multiple of 8 within the mapped region");
  }
  return reinterpret_cast<volatile Width*>(static_cast<uint8_t*>(pages.address()) + offset);
}

// PCI is little-endian, and so is every machine that this addon is built for.
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

template <typename Width>
Width Read(const Pages& pages, Napi::Value offset) {
  const Width value = *Register<Width>(pages, offset);
  BarrierAfterRead();
  return value;
}

// 0, or -EACCES where the region is mapped for reading.
template <typename Width>
int Write(const Pages& pages, Napi::Value offset, Width value) {
  volatile Width* const target = Register<Width>(pages, offset);
  if (!pages.writable()) return -EACCES;
  BarrierBeforeWrite();
  *target = value;
  return 0;
}

// readUint32(offset: bigint): number
Napi::Value ReadUint32(MappedRegion& region, const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), Read<uint32_t>(*region.Use(), info[0]));
}

const MappedRegion::Method<ReadUint32> read_uint32("readUint32");

// readUint64(offset: bigint): bigint
Napi::Value ReadUint64(MappedRegion& region, const Napi::CallbackInfo& info) {
  return Napi::BigInt::New(info.Env(), Read<uint64_t>(*region.Use(), info[0]));
}

const MappedRegion::Method<ReadUint64> read_uint64("readUint64");

// writeUint32(offset: bigint, value: number): 0, or -EACCES.
Napi::Value WriteUint32(MappedRegion& region, const Napi::CallbackInfo& info) {
  const uint32_t value = arguments::Uint32(info[1], "value");
  return Status(info.Env(), Write<uint32_t>(*region.Use(), info[0], value));
}

const MappedRegion::Method<WriteUint32> write_uint32("writeUint32");

// writeUint64(offset: bigint, value: bigint): 0, or -EACCES.
Napi::Value WriteUint64(MappedRegion& region, const Napi::CallbackInfo& info) {
  const uint64_t value = arguments::Uint64(info[1], "value");
  return Status(info.Env(), Write<uint64_t>(*region.Use(), info[0], value));
}

const MappedRegion::Method<WriteUint64> write_uint64("writeUint64");

}  // namespace
