/**
 * An I/O address space as drivers/iommu/iommufd/io_pagetable.c keeps it. It has the mapped areas, the reserved ranges,
 * the domains that the areas are mapped in, and their alignment.
 *
 * The order of the checks is the kernel's, because it decides which error a caller sees.
 */

import { AreaList } from "../../area-list.ts";
import type { IovaRange, IovaRanges } from "../../uapi.ts";
import {
  AREA_FILE,
  AREA_PAGES_WRITEABLE,
  AREA_READABLE,
  AREA_WRITEABLE,
  type Area,
  type Domain,
  type Piece,
} from "./area.ts";
import type { LockedMemory } from "./locked-memory.ts";
import { Pinning } from "./pinning.ts";
import {
  alignUp,
  hugePageSize,
  joinTouching,
  lowestSetBit,
  max,
  mergeByStart,
  min,
  roundUpToPowerOfTwo,
} from "./ranges.ts";
import { Refusal } from "./refusal.ts";
import type { SoftwareMemory } from "./software-memory.ts";

const U64_MAX = (1n << 64n) - 1n;

/** The memory to map. */
export interface MapRequest {
  memory: SoftwareMemory;
  /** Virtual address of the memory, or offset in the file: its alignment guides automatic placement. */
  address: bigint;
  file: boolean;
  length: bigint;
  /** AREA_READABLE and AREA_WRITEABLE, added. */
  permission: number;
  /** Undefined: the address space chooses. */
  iova: bigint | undefined;
}

interface Reservation extends IovaRange {
  owner: object;
}

/** struct io_pagetable */
export class IoPagetable {
  readonly #pageSize: bigint;
  readonly #hugePageSize: bigint;
  readonly #pinning: Pinning;
  readonly #areas = new AreaList<Area>();
  readonly #domains: Domain[] = [];
  #reservations: Reservation[] = [];
  readonly #pins = new Map<object, IovaRange>();
  /** Empty: everything. Ranges that touch are one. */
  #allowed: readonly IovaRange[] = [];
  #hugePages = true;
  #alignment = 1n;

  constructor(pageSize: number, limit: LockedMemory) {
    this.#pageSize = BigInt(pageSize);
    this.#hugePageSize = hugePageSize(this.#pageSize);
    this.#pinning = new Pinning(this.#pageSize, limit);
  }

  /** iommufd_ioas_iova_ranges() */
  iovaRanges(): IovaRanges {
    const ranges: IovaRange[] = [];
    let next = 0n;
    for (const { start, last } of this.#reservations) {
      if (start > next) ranges.push({ start: next, last: start - 1n });
      if (last >= next) next = last + 1n;
    }
    if (next <= U64_MAX) ranges.push({ start: next, last: U64_MAX });
    return { ranges, alignment: this.#alignment };
  }

  /** iopt_map_user_pages(), iopt_map_file_pages(): returns the IOVA. */
  map({ memory, address, file, length, permission, iova }: MapRequest): bigint {
    // iopt_alloc_pages() refuses nothing, and lengths whose rounding up would overflow.
    if (length === 0n || length > U64_MAX - this.#pageSize) throw new Refusal("EINVAL");
    const flags = (permission & AREA_WRITEABLE ? AREA_PAGES_WRITEABLE : 0) | (file ? AREA_FILE : 0);
    return this.insert([{ memory, address, flags, length, pages: undefined }], permission, iova);
  }

  /** iopt_get_pages(): what is mapped in a range without a gap; ENOENT if there is one. */
  pieces(iova: bigint, length: bigint): Piece[] {
    if (length === 0n) throw new Refusal("EINVAL");
    const last = iova + length - 1n;
    if (last > U64_MAX) throw new Refusal("EOVERFLOW");
    const pieces: Piece[] = [];
    let next = iova;
    for (const area of this.#areas.overlapping(iova, last)) {
      if (area.start > next) throw new Refusal("ENOENT");
      const end = min(area.last, last);
      pieces.push({
        memory: area.memory,
        address: area.address + (next - area.start),
        flags: area.flags & (AREA_PAGES_WRITEABLE | AREA_FILE),
        length: end - next + 1n,
        pages: this.#pinning.share(area, this.#domains.length > 0),
      });
      next = end + 1n;
    }
    if (next <= last) throw new Refusal("ENOENT");
    return pieces;
  }

  /** iopt_map_pages(): maps pieces one after the other; returns the IOVA of the first. */
  insert(pieces: readonly Piece[], permission: number, iova: bigint | undefined): bigint {
    let length = 0n;
    for (const piece of pieces) length += piece.length;
    // iopt_alloc_area_pages()
    const mask = this.#alignment - 1n;
    if (length & mask) throw new Refusal("EINVAL");
    const start = iova ?? this.#place((pieces[0] as Piece).address, length);
    if (iova !== undefined) this.#checkIova(iova, length);
    // iopt_insert_area()
    const areas: Area[] = [];
    let next = start;
    for (const { memory, address, flags, length: bytes, pages } of pieces) {
      if (permission & AREA_WRITEABLE && !(flags & AREA_PAGES_WRITEABLE)) throw new Refusal("EPERM");
      // A page is a power of two, and the alignment is at most one: the offset in the page has the same low bits.
      if (address & mask) throw new Refusal("EINVAL");
      areas.push({ start: next, last: next + bytes - 1n, memory, address, flags: flags | permission, pages });
      next += bytes;
    }
    if (this.#domains.length > 0) this.#pinning.fill(areas, this.#domains, true);
    for (const area of areas) this.#areas.insert(area);
    return start;
  }

  /** The mapping at an address. */
  find(iova: bigint): Area | undefined {
    return this.#areas.firstOverlapping(iova, iova);
  }

  /** How many mappings there are. */
  get size(): number {
    return this.#areas.size;
  }

  /** iopt_set_allow_iova(): replaces the ranges that must stay available. */
  allow(ranges: readonly IovaRange[]): void {
    const sorted = [...ranges].sort((a, b) => (a.start < b.start ? -1 : 1));
    for (const [index, { start, last }] of sorted.entries()) {
      const previous = sorted[index - 1];
      if (start >= last || (previous !== undefined && previous.last >= start)) throw new Refusal("EINVAL");
    }
    if (sorted.some(({ start, last }) => this.#isReserved(start, last))) throw new Refusal("EADDRINUSE");
    this.#allowed = joinTouching(sorted);
  }

  /** Whether nothing is mapped. */
  get empty(): boolean {
    return this.#areas.size === 0;
  }

  /** Whether everything that is mapped is of files, and so not of one process. */
  get filesOnly(): boolean {
    for (const { flags } of this.#areas) if (!(flags & AREA_FILE)) return false;
    return true;
  }

  /** Whether domains may combine pages into huge ones (IOMMU_OPTION_HUGE_PAGES). */
  get hugePages(): boolean {
    return this.#hugePages;
  }

  /** iopt_disable_large_pages(), iopt_enable_large_pages() */
  set hugePages(enabled: boolean) {
    if (enabled === this.#hugePages) return;
    if (!enabled) {
      // Pages that may be huge already cannot be taken apart.
      if (this.#domains.length > 0 && !this.empty) throw new Refusal("EINVAL");
      this.#checkAlignment(this.#pageSize);
    }
    this.#hugePages = enabled;
    this.#updateAlignment();
  }

  /** iopt_unmap_iova() or iopt_unmap_all(): returns how many bytes were unmapped, which may be none. */
  unmap(start: bigint, last: bigint): bigint {
    let unmapped = 0n;
    for (const area of this.#areas.overlapping(start, last)) {
      // Areas before this one stay unmapped: the kernel does not roll back either.
      for (const pin of this.#pins.values())
        if (pin.start <= area.last && pin.last >= area.start) throw new Refusal("EBUSY");
      if (area.start < start || area.last > last) throw new Refusal("ENOENT");
      this.#areas.remove(area.start, area.last);
      if (this.#domains.length > 0) this.#pinning.release(area);
      for (const domain of this.#domains) domain.unmapped(area);
      unmapped += area.last - area.start + 1n;
    }
    return unmapped;
  }

  /**
   * iommufd_access_pin_pages(), of the whole pages around a range: from now on what is mapped there cannot be unmapped. EINVAL where
   * the memory does not begin with its page, EPERM where it may not be read, ENOENT where there is a gap.
   */
  pin(iova: bigint, length: bigint, owner: object): void {
    const start = iova & -this.#pageSize;
    const last = alignUp(iova + length, this.#pageSize) - 1n;
    if (last > U64_MAX) throw new Refusal("EOVERFLOW");
    let next = start;
    for (const area of this.#areas.overlapping(start, last)) {
      if (area.start > next) break;
      const ends = area.last < last && (area.address + (area.last - area.start) + 1n) % this.#pageSize;
      if ((area.address + (next - area.start)) % this.#pageSize || ends) throw new Refusal("EINVAL");
      if (!(area.flags & AREA_READABLE)) throw new Refusal("EPERM");
      next = area.last + 1n;
    }
    if (next <= last) throw new Refusal("ENOENT");
    this.#pins.set(owner, { start, last });
  }

  /** iommufd_access_unpin_pages() */
  unpin(owner: object): void {
    this.#pins.delete(owner);
  }

  /** iopt_table_add_domain() */
  addDomain(domain: Domain): void {
    const alignment = domainAlignment(domain, this.#alignment);
    if (alignment > this.#pageSize) throw new Refusal("EINVAL");
    if (alignment !== this.#alignment) this.#checkAlignment(alignment);

    const { start, last } = domain.profile.aperture;
    try {
      if (start !== 0n) this.#reserve(0n, start - 1n, domain);
      if (last !== U64_MAX) this.#reserve(last + 1n, U64_MAX, domain);
      this.#pinning.fill(this.#areas, [domain], this.#domains.length === 0);
    } catch (error) {
      this.unreserve(domain);
      throw error;
    }
    this.#alignment = alignment;
    this.#domains.push(domain);
  }

  /** iopt_table_remove_domain() */
  removeDomain(domain: Domain): void {
    this.#domains.splice(this.#domains.indexOf(domain), 1);
    if (this.#domains.length === 0) for (const area of this.#areas) this.#pinning.release(area);
    this.unreserve(domain);
    this.#updateAlignment();
  }

  /** iopt_table_enforce_dev_resv_regions(): all of them, or none and EADDRINUSE. */
  reserveAll(ranges: readonly IovaRange[], owner: object): void {
    try {
      for (const { start, last } of ranges) this.#reserve(start, last, owner);
    } catch (error) {
      this.unreserve(owner);
      throw error;
    }
  }

  /** iopt_remove_reserved_iova() */
  unreserve(owner: object): void {
    this.#reservations = this.#reservations.filter((reservation) => reservation.owner !== owner);
  }

  /** iopt_reserve_iova() */
  #reserve(start: bigint, last: bigint, owner: object): void {
    if (this.#areas.firstOverlapping(start, last) !== undefined) throw new Refusal("EADDRINUSE");
    if (this.#allowed.some((range) => range.start <= last && range.last >= start))
      throw new Refusal("EADDRINUSE");
    const index = this.#reservations.findIndex((reservation) => reservation.start > start);
    this.#reservations.splice(index < 0 ? this.#reservations.length : index, 0, { start, last, owner });
  }

  /** iopt_check_iova() */
  #checkIova(iova: bigint, length: bigint): void {
    if (iova & (this.#alignment - 1n)) throw new Refusal("EINVAL");
    const last = iova + length - 1n;
    if (last > U64_MAX) throw new Refusal("EOVERFLOW");
    if (this.#isReserved(iova, last)) throw new Refusal("EINVAL");
    if (this.#areas.firstOverlapping(iova, last) !== undefined) throw new Refusal("EEXIST");
  }

  /** iopt_alloc_iova(): the first hole that is long enough, never IOVA 0. */
  #place(address: bigint, length: bigint): bigint {
    if (length >= U64_MAX / 2n) throw new Refusal("EOVERFLOW");
    const pageOffset = address % this.#pageSize;
    let alignment = roundUpToPowerOfTwo(length);
    if (address !== 0n) alignment = min(alignment, lowestSetBit(address));
    // CONFIG_TRANSPARENT_HUGEPAGE, which every distribution has.
    alignment = min(alignment, this.#hugePageSize);
    if (alignment < this.#alignment) throw new Refusal("EINVAL");

    const end = U64_MAX - this.#pageSize;
    const allowed = this.#allowed.length > 0 ? this.#allowed : [{ start: this.#pageSize, last: end }];
    for (const range of allowed) {
      // Without the first and the last page, and within what is allowed from where the alignment begins.
      const from = alignUp(max(range.start, this.#pageSize), alignment) | pageOffset;
      for (const hole of this.#holes(from, min(range.last, end))) {
        const start = alignUp(hole.start, alignment) | pageOffset;
        if (start < hole.last && hole.last - start >= length - 1n) return start;
      }
    }
    throw new Refusal("ENOSPC");
  }

  /** The holes in a range: neither reserved nor mapped. */
  *#holes(from: bigint, to: bigint): Generator<IovaRange> {
    let next = from;
    for (const { start, last } of mergeByStart(this.#areas, this.#reservations)) {
      if (start > to) break;
      if (start > next) yield { start: next, last: start - 1n };
      if (last >= next) next = last + 1n;
    }
    if (next <= to) yield { start: next, last: to };
  }

  #isReserved(start: bigint, last: bigint): boolean {
    for (const reserved of this.#reservations)
      if (reserved.start <= last && reserved.last >= start) return true;
    return false;
  }

  /** iopt_calculate_iova_alignment() */
  #updateAlignment(): void {
    const least = this.#hugePages ? 1n : this.#pageSize;
    this.#alignment = this.#domains.reduce((alignment, each) => domainAlignment(each, alignment), least);
  }

  /** iopt_check_iova_alignment() */
  #checkAlignment(alignment: bigint): void {
    const mask = alignment - 1n;
    for (const { start, last, address } of this.#areas) {
      if ((start | (last + 1n) | address) & mask) throw new Refusal("EADDRINUSE");
    }
  }
}

function domainAlignment({ profile }: Domain, least: bigint): bigint {
  const smallest = profile.pageSizes.reduce(min);
  return smallest > least ? smallest : least;
}
