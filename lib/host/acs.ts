/**
 * PCI Express Access Control Services: whether a bridge sends what devices below it say to each other up to the IOMMU.
 * Where one does not, the devices below it share an IOMMU group (drivers/iommu/iommu.c, pci_device_group()).
 */

/** What a bridge's configuration space says; "partial": the capability is there, and not all of it enabled. */
export type Acs = "enabled" | "partial" | "absent";

/** Where extended capabilities begin in the configuration space. */
const EXTENDED = 0x100;

/** PCI_EXT_CAP_ID_ACS, and where in it the control register is (linux/pci_regs.h). */
const ACS_ID = 0x0d;
const ACS_CONTROL = 6;

/** What isolates: source validation, request redirect, completion redirect, upstream forwarding (REQ_ACS_FLAGS). */
const ISOLATING = 0x1d;

/**
 * Finds ACS in a configuration space.
 *
 * @param config as sysfs shows it: 4096 bytes, or 256 of a device without extended capabilities
 * @returns undefined where less could be read, as without privileges
 */
export function findAcs(config: Uint8Array): Acs | undefined {
  if (config.length < EXTENDED) return undefined;
  const view = new DataView(config.buffer, config.byteOffset, config.length);
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
