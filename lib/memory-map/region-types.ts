/**
 * What is behind a memory region, by everything that a text says of it.
 *
 * In a flat view `rom` says that the *view* is read-only, whatever the region is (system/memory.c, mtree_print_flatview): RAM
 * under write protection, a ROM, or a flash chip whose firmware shows a second time below 1 MiB. The last is a ROM device, and
 * no RAM to QEMU's VFIO listener. What the region is, its other ranges say, and the tree of regions (`info mtree`).
 */

import type { MemorySection, SectionType } from "../section.ts";

/**
 * Regions that are RAM under these names (hw/i386/pc.c, hw/i386/x86-common.c). QEMU shows them as `rom` alone, in most VMs of
 * x86, so a text tells no more of them.
 */
const KNOWN_RAM: ReadonlySet<string> = new Set(["pc.bios", "pc.rom", "isa-bios"]);

/**
 * Of how many regions it is kept what they are, so that a text may be larger than the memory. Of others nothing is known, which
 * is what {@link RegionTypes.resolve} then says.
 */
const MOST_REGIONS = 1 << 16;

/** What was said of regions. */
export class RegionTypes {
  /** By name, and by owner; undefined where different things were said, so that several regions are called alike. */
  readonly #types = new Map<string, Map<string, SectionType | undefined>>();
  #size = 0;

  /**
   * Notes what a region is.
   *
   * @param owner what QEMU prints of its owner with `-o`, or nothing
   */
  note(region: string, owner: string, type: SectionType): void {
    const owners = this.#types.get(region);
    if (owners?.has(owner)) {
      if (owners.get(owner) !== type) owners.set(owner, undefined);
    } else if (this.#size < MOST_REGIONS) {
      this.#size++;
      if (owners === undefined) this.#types.set(region, new Map([[owner, type]]));
      else owners.set(owner, type);
    }
  }

  /** A section whose view is read-only, as what its region is: RAM where nothing says so, and then marked. */
  resolve(section: MemorySection, owner: string): MemorySection {
    const known = this.#types.get(section.region)?.get(owner);
    if (known !== undefined) return { ...section, type: known };
    return KNOWN_RAM.has(section.region) ? section : { ...section, typeIsAssumed: true };
  }
}
