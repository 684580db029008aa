/**
 * The isolation that a bridge gives the devices below it. PCI Express Access Control Services: whether it sends what
 * they say to each other
 * up to the IOMMU; where not, they share an IOMMU group. A bridge to conventional PCI: it speaks for all of them, and ACS is of no
 * use (drivers/iommu/iommu.c, pci_device_group(); drivers/pci/search.c, pci_for_each_dma_alias()).
 */

/**
 * The access control of a bridge, from its configuration space; "partial": the capability is there, and not all of it
 * enabled.
 */
export type Acs = "enabled" | "partial" | "absent" | "conventional";

/** Where extended capabilities begin in the configuration space. */
const EXTENDED = 0x100;

/** PCI_EXT_CAP_ID_ACS, and where in it the control register is (linux/pci_regs.h). */
const ACS_ID = 0x0d;
const ACS_CONTROL = 6;

/**
 * The controls that isolate: source validation, request redirect, completion redirect, upstream forwarding
 * (REQ_ACS_FLAGS).
 */
const ISOLATING = 0x1d;

/** Standard capabilities: PCI_STATUS with its bit that there are some, PCI_CAPABILITY_LIST, and PCI_CAP_ID_EXP. */
const STATUS = 0x06;
const HAS_CAPABILITIES = 1 << 4;
const FIRST_CAPABILITY = 0x34;
const EXPRESS_ID = 0x10;

/** Types of PCI Express functions that are bridges to conventional PCI, and from it (PCI_EXP_TYPE_PCI_BRIDGE, …_PCIE_BRIDGE). */
const CONVENTIONAL_TYPES: readonly number[] = [7, 8];

/**
 * Finds ACS in the configuration space of a bridge.
 *
 * @param config as sysfs shows it: 4096 bytes, or 256 of a device without extended capabilities
 * @returns undefined where less could be read, as without privileges
 */
export function findAcs(config: Uint8Array): Acs | undefined {
  if (config.length < EXTENDED) return undefined;
  const view = new DataView(config.buffer, config.byteOffset, config.length);
  if (isConventional(view)) return "conventional";
  const seen = new Set<number>();
  let offset = EXTENDED;
  // The last leads to 0; one that leads back to another would never end.
  while (offset >= EXTENDED && offset + 8 <= config.length && !seen.has(offset)) {
    seen.add(offset);
    const header = view.getUint32(offset, true);
    if ((header & 0xffff) === ACS_ID) {
      const control = view.getUint16(offset + ACS_CONTROL, true);
      return (control & ISOLATING) === ISOLATING ? "enabled" : "partial";
    }
    offset = header >>> 20;
  }
  return "absent";
}

/** A bridge without PCI Express, or one between PCI Express and conventional PCI. */
function isConventional(view: DataView): boolean {
  if ((view.getUint16(STATUS, true) & HAS_CAPABILITIES) === 0) return true;
  const seen = new Set<number>();
  let offset = view.getUint8(FIRST_CAPABILITY) & ~3;
  while (offset >= 0x40 && !seen.has(offset)) {
    seen.add(offset);
    if (view.getUint8(offset) === EXPRESS_ID)
      return CONVENTIONAL_TYPES.includes((view.getUint16(offset + 2, true) >> 4) & 0xf);
    offset = view.getUint8(offset + 1) & ~3;
  }
  return true;
}
