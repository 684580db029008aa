/**
 * Finds what is behind a memory region, from everything that a text says about it.
 *
 * In a flat view, `rom` says that the *view* is read-only (system/memory.c, mtree_print_flatview). The region can be RAM under
 * write protection, a ROM, or a flash chip whose firmware shows a second time below 1 MiB. A flash chip is a ROM device, which
 * QEMU's VFIO listener does not treat as RAM. The other ranges of the region show what it is, and so does the tree of regions
 * (`info mtree`).
 */

import type { MemorySection, SectionType } from "../section.ts";

/**
 * Regions that are RAM under these names (hw/i386/pc.c, hw/i386/x86-common.c). QEMU shows them as `rom` alone, in most VMs of
 * x86, so a text says no more about them.
 */
const KNOWN_RAM: ReadonlySet<string> = new Set(["pc.bios", "pc.rom", "isa-bios"]);

/**
 * How many regions are remembered, so that a text may be larger than the memory. Nothing is known about the others,
 * which is what {@link RegionTypes.resolve} then says.
 */
const MOST_REGIONS = 1 << 16;

/** The facts about regions. */
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
