/** What the driver of the kernel's mock devices knows (drivers/iommu/iommufd/iommufd_test.h). */

/** Its numbers. */
export const SELFTEST = {
  hwInfoType: 0xfeedbeef,
  /** What its only register has. */
  register: 0xdeadbeef,
  hwptDataType: 0xdead,
  invalidateType: 0xdeadbeef,
  viommuType: 0xdeadbeef,
  veventqType: 0xbeefbeef,
  hwQueueType: 0xdeadbeef,
} as const;

/** How many entries the IOTLB of a nested page table has (MOCK_NESTED_DOMAIN_IOTLB_NUM). */
export const IOTLB_ENTRIES = 4;
/** How many entries the cache of a device has (MOCK_DEV_CACHE_NUM), and what they hold at first. */
export const CACHE_ENTRIES = 4;
export const CACHED = 0xbaddad;
