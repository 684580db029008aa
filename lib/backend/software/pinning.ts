/** How memory gets into page tables: its pages are pinned, and charged to whoever mapped it (drivers/iommu/iommufd/pages.c). */

import { AREA_FILE, AREA_WRITEABLE, type Area, type Domain } from "./area.ts";
import { type LockedMemory, type PageRange, SharedPages } from "./locked-memory.ts";
import { alignUp } from "./ranges.ts";
import { Refusal } from "./refusal.ts";

/** The pinned memory of one address space. */
export class Pinning {
  readonly #pageSize: bigint;
  readonly #limit: LockedMemory;

  constructor(pageSize: bigint, limit: LockedMemory) {
    this.#pageSize = pageSize;
    this.#limit = limit;
  }

  /**
   * iopt_fill_domains_pages(), iopt_fill_domain(): puts areas into domains, one area after the other; none where one is refused.
   *
   * @param pins whether these are the first domains that they are put into, for which their pages are pinned
   */
  fill(areas: Iterable<Area>, domains: readonly Domain[], pins: boolean): void {
    let filled: Area | undefined;
    try {
      for (const area of areas) {
        if (pins) this.#checkFile(area);
        for (const domain of domains) checkProtection(domain, area);
        if (pins) this.#charge(area);
        filled = area;
      }
    } catch (error) {
      if (pins && filled !== undefined) {
        for (const area of areas) {
          this.release(area);
          if (area === filled) break;
        }
      }
      throw error;
    }
  }

  /** memfd_pin_folios(): no page is behind the end of the file. */
  #checkFile({ memory, address, flags, start, last }: Area): void {
    if (flags & AREA_FILE && alignUp(address + (last - start) + 1n, this.#pageSize) > memory.length)
      throw new Refusal("EINVAL");
  }

  /** pfn_reader_user_update_pinned(): charges the pages of an area that are not pinned yet. */
  #charge(area: Area): void {
    const pages = this.#pagesOf(area);
    const count = area.pages === undefined ? pages.last - pages.first + 1n : area.pages.add(pages);
    try {
      this.#limit.charge(count * this.#pageSize);
    } catch (error) {
      area.pages?.remove(pages);
      throw error;
    }
  }

  /** iopt_area_unfill_domain(): unpins the pages that no copy has. */
  release(area: Area): void {
    const pages = this.#pagesOf(area);
    const count = area.pages === undefined ? pages.last - pages.first + 1n : area.pages.remove(pages);
    this.#limit.release(count * this.#pageSize);
  }

  /** The pages that an area is going to share with its copies. @param pinned whether it is in a domain */
  share(area: Area, pinned: boolean): SharedPages {
    if (area.pages === undefined) {
      area.pages = new SharedPages();
      if (pinned) area.pages.add(this.#pagesOf(area));
    }
    return area.pages;
  }

  #pagesOf({ address, start, last }: Area): PageRange {
    return { first: address / this.#pageSize, last: (address + (last - start)) / this.#pageSize };
  }
}

/** PT_FEAT_VTDSS_FORCE_WRITEABLE: the page table of a nest parent refuses an entry without write permission. */
function checkProtection(domain: Domain, area: Area): void {
  if (domain.forceWritable && !(area.flags & AREA_WRITEABLE)) throw new Refusal("EINVAL");
}
