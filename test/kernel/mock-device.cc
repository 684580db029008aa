// Makes and drives the kernel's mock devices (CONFIG_IOMMUFD_TEST) on an iommufd that is inherited as
// descriptor 3.
//
// The tests need hardware that QEMU does not emulate: dirty tracking, among others. The private ioctl for it
// has no place in the addon, so it is here.
//
//   mock-device device IOAS                                 a device attached to an IOAS: prints its object
//   id mock-device dirty HWPT IOVA LENGTH PAGE_SIZE BITS       DMA writes to the pages whose bits
//   (hexadecimal) are set
//
// The structure is the kernel's drivers/iommu/iommufd/iommufd_test.h, as far as it is used.

#include <sys/ioctl.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int kIommufd = 3;

struct iommu_test_cmd {
  uint32_t size;
  uint32_t op;
  uint32_t id;
  uint32_t reserved;
  union {
    struct {
      uint32_t out_stdev_id;
      uint32_t out_hwpt_id;
      uint32_t out_idev_id;
    } mock_domain;
    struct {
      uint32_t flags;
      uint64_t iova;
      uint64_t length;
      uint64_t page_size;
      uint64_t uptr;
      uint64_t out_nr_dirty;
    } dirty;
  };
  uint32_t last;
};
static_assert(sizeof(iommu_test_cmd) == 72);

constexpr unsigned long IOMMU_TEST_CMD = _IO(';', 0x80 + 32);
constexpr uint32_t IOMMU_TEST_OP_MOCK_DOMAIN = 2;
constexpr uint32_t IOMMU_TEST_OP_DIRTY = 13;

iommu_test_cmd Issue(iommu_test_cmd command) {
  command.size = sizeof(command);
  if (ioctl(kIommufd, IOMMU_TEST_CMD, &command) < 0) {
    perror("IOMMU_TEST_CMD");
    exit(1);
  }
  return command;
}

uint64_t Number(const char* text) { return strtoull(text, nullptr, 0); }

}  // namespace

int main(int argc, char** argv) {
  iommu_test_cmd command = {};
  if (argc == 3 && strcmp(argv[1], "device") == 0) {
    command.op = IOMMU_TEST_OP_MOCK_DOMAIN;
    command.id = static_cast<uint32_t>(Number(argv[2]));
    printf("%u\n", Issue(command).mock_domain.out_idev_id);
  } else if (argc == 7 && strcmp(argv[1], "dirty") == 0) {
    uint64_t bits = strtoull(argv[6], nullptr, 16);
    command.op = IOMMU_TEST_OP_DIRTY;
    command.id = static_cast<uint32_t>(Number(argv[2]));
    command.dirty.iova = Number(argv[3]);
    command.dirty.length = Number(argv[4]);
    command.dirty.page_size = Number(argv[5]);
    command.dirty.uptr = reinterpret_cast<uintptr_t>(&bits);
    printf("%llu\n", static_cast<unsigned long long>(Issue(command).dirty.out_nr_dirty));
  } else {
    fprintf(stderr, "usage: see mock-device.cc\n");
    return 2;
  }
}
