// Makes and drives the kernel's mock devices (CONFIG_IOMMUFD_TEST) on an iommufd that is inherited as
// descriptor 3; kUsage says how.
//
// The tests need hardware that QEMU does not emulate. The private ioctl for it has no place in the addon, so
// it is here. The structure is the kernel's drivers/iommu/iommufd/iommufd_test.h, as far as it is used.

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int kIommufd = 3;

// Each use is one request. The answer is printed, numbers in decimal. Where the kernel refuses, the
// error number goes to standard error.
constexpr char kUsage[] =
    "device IOAS FLAGS             a device attached to an IOAS: its own id, its object id, its HWPT's\n"
    "replace DEVICE PT             attaches it to another page table\n"
    "pasid-attach DEVICE PASID PT\n"
    "pasid-replace DEVICE PASID PT\n"
    "pasid-detach DEVICE PASID\n"
    "pasid-check DEVICE PASID HWPT whether the PASID is attached to that HWPT; 0: to none\n"
    "dirty HWPT IOVA LENGTH PAGE_SIZE BITS   DMA writes to the pages whose bits (hexadecimal) are set\n"
    "fault OBJECT PASID GROUP PERM ADDRESS COUNT   page requests, each of the page after the one before\n"
    "event OBJECT COUNT            events of the vIOMMU\n"
    "iotlb HWPT INDEX VALUE        whether an entry of the IOTLB has that value\n"
    "cache OBJECT INDEX VALUE      whether an entry of the device's cache has that value\n";

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
      uint32_t dev_flags;
    } mock_domain_flags;
    struct {
      uint32_t pt_id;
    } mock_domain_replace;
    struct {
      uint32_t flags;
      uint64_t iova;
      uint64_t length;
      uint64_t page_size;
      uint64_t uptr;
      uint64_t out_nr_dirty;
    } dirty;
    struct {
      uint32_t index;
      uint32_t value;
    } check;
    struct {
      uint32_t dev_id;
      uint32_t pasid;
      uint32_t grpid;
      uint32_t perm;
      uint64_t addr;
    } trigger_iopf;
    struct {
      uint32_t dev_id;
    } trigger_vevent;
    struct {
      uint32_t pasid;
      uint32_t pt_id;
    } pasid;
  };
  uint32_t last;
};
static_assert(sizeof(iommu_test_cmd) == 72);

constexpr unsigned long IOMMU_TEST_CMD = _IO(';', 0x80 + 32);

enum : uint32_t {
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE = 10,
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS = 12,
  IOMMU_TEST_OP_DIRTY = 13,
  IOMMU_TEST_OP_MD_CHECK_IOTLB = 14,
  IOMMU_TEST_OP_TRIGGER_IOPF = 15,
  IOMMU_TEST_OP_DEV_CHECK_CACHE = 16,
  IOMMU_TEST_OP_TRIGGER_VEVENT = 17,
  IOMMU_TEST_OP_PASID_ATTACH = 18,
  IOMMU_TEST_OP_PASID_REPLACE = 19,
  IOMMU_TEST_OP_PASID_DETACH = 20,
  IOMMU_TEST_OP_PASID_CHECK_HWPT = 21,
};

void Issue(iommu_test_cmd* command) {
  command->size = sizeof(*command);
  if (ioctl(kIommufd, IOMMU_TEST_CMD, command) == 0) return;
  fprintf(stderr, "%d\n", errno);
  exit(1);
}

uint32_t Number(const char* text) { return static_cast<uint32_t>(strtoul(text, nullptr, 0)); }
uint64_t Wide(const char* text) { return strtoull(text, nullptr, 0); }

}  // namespace

int main(int argc, char** argv) {
  iommu_test_cmd command = {};
  const auto is = [&](const char* name, int arguments) {
    return argc == arguments + 2 && strcmp(argv[1], name) == 0;
  };
  if (argc > 2) command.id = Number(argv[2]);
  if (is("device", 2)) {
    command.op = IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS;
    command.mock_domain_flags.dev_flags = Number(argv[3]);
    Issue(&command);
    const auto& made = command.mock_domain_flags;
    printf("%u %u %u\n", made.out_stdev_id, made.out_idev_id, made.out_hwpt_id);
  } else if (is("replace", 2)) {
    command.op = IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE;
    command.mock_domain_replace.pt_id = Number(argv[3]);
    Issue(&command);
    printf("%u\n", command.mock_domain_replace.pt_id);
  } else if (is("pasid-attach", 3) || is("pasid-replace", 3) || is("pasid-check", 3)) {
    command.op = is("pasid-attach", 3)    ? IOMMU_TEST_OP_PASID_ATTACH
                 : is("pasid-replace", 3) ? IOMMU_TEST_OP_PASID_REPLACE
                                          : IOMMU_TEST_OP_PASID_CHECK_HWPT;
    command.pasid.pasid = Number(argv[3]);
    command.pasid.pt_id = Number(argv[4]);
    Issue(&command);
    printf("%u\n", command.pasid.pt_id);
  } else if (is("pasid-detach", 2)) {
    command.op = IOMMU_TEST_OP_PASID_DETACH;
    command.pasid.pasid = Number(argv[3]);
    Issue(&command);
  } else if (is("dirty", 5)) {
    uint64_t bits = strtoull(argv[6], nullptr, 16);
    command.op = IOMMU_TEST_OP_DIRTY;
    command.dirty.iova = Wide(argv[3]);
    command.dirty.length = Wide(argv[4]);
    command.dirty.page_size = Wide(argv[5]);
    command.dirty.uptr = reinterpret_cast<uintptr_t>(&bits);
    Issue(&command);
    printf("%llu\n", static_cast<unsigned long long>(command.dirty.out_nr_dirty));
  } else if (is("fault", 6)) {
    command.op = IOMMU_TEST_OP_TRIGGER_IOPF;
    command.trigger_iopf = {command.id, Number(argv[3]), Number(argv[4]), Number(argv[5]), Wide(argv[6])};
    command.id = 0;
    for (uint32_t left = Number(argv[7]); left > 0; left--) {
      Issue(&command);
      command.trigger_iopf.addr += sysconf(_SC_PAGESIZE);
    }
  } else if (is("event", 2)) {
    command.op = IOMMU_TEST_OP_TRIGGER_VEVENT;
    command.trigger_vevent.dev_id = command.id;
    command.id = 0;
    for (uint32_t left = Number(argv[3]); left > 0; left--) Issue(&command);
  } else if (is("iotlb", 3) || is("cache", 3)) {
    command.op = is("iotlb", 3) ? IOMMU_TEST_OP_MD_CHECK_IOTLB : IOMMU_TEST_OP_DEV_CHECK_CACHE;
    command.check.index = Number(argv[3]);
    command.check.value = Number(argv[4]);
    Issue(&command);
  } else {
    fputs(kUsage, stderr);
    return 2;
  }
}
