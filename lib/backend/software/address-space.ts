/**
 * An I/O address space as drivers/iommu/iommufd/io_pagetable.c keeps it: the areas that are mapped, the ranges
 * that are reserved, the domains that the areas are mapped in, and the alignment that these ask for.
 *
 * The order of the checks is the kernel's, because it decides which error a caller sees.
 */

import type { IovaRange, IovaRanges } from "../uapi.ts";
import { AreaList } from "./area-list.ts";
import type { DomainProfile } from "./profile.ts";
import { Refusal } from "./refusal.ts";

const U64_MAX = (1n << 64n) - 1n;
/** HPAGE_SIZE: automatic placement aligns to it at most (CONFIG_TRANSPARENT_HUGEPAGE). */
const HUGE_PAGE = 1n << 21n;

/** A range of IOVAs that is mapped. */
export interface Area extends IovaRange {
  writeable: boolean;
  /** Offset in the page that the mapping starts at. */
  pageOffset: bigint;
}

/** A page table that the areas of an address space are mapped in (struct iommu_domain). */
export interface Domain {
  readonly profile: DomainProfile;
  /** ERRATA_772415_SPR17: a nest parent that refuses read-only mappings. */
  readonly forceWriteable: boolean;
}

/** What is to be mapped. */
export interface MapRequest {
  /** Virtual address of the memory: its alignment guides automatic placement. */
  address: bigint;
  length: bigint;
  writeable: boolean;
  /** Undefined: the address space chooses. */
  iova: bigint | undefined;
}

interface Reservation extends IovaRange {
  owner: object;
}

/** struct io_pagetable */
export class AddressSpace {
  readonly #pageSize: bigint;
  readonly #areas = new AreaList<Area>();
  readonly #domains: Domain[] = [];
  #reservations: Reservation[] = [];
  #alignment = 1n;

  constructor(pageSize: number) {
    this.#pageSize = BigInt(pageSize);
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

  /** iopt_map_user_pages(): returns the IOVA. */
  map({ address, length, writeable, iova }: MapRequest): bigint {
    // iopt_alloc_pages() refuses nothing, and lengths whose rounding up would overflow.
    if (length === 0n || length > U64_MAX - this.#pageSize) throw new Refusal("EINVAL");
    // iopt_alloc_area_pages()
    if (length & (this.#alignment - 1n)) throw new Refusal("EINVAL");
    const start = iova ?? this.#place(address, length);
    if (iova !== undefined) this.#checkIova(iova, length);
    // iopt_insert_area()
    const pageOffset = address % this.#pageSize;
    if (pageOffset & (this.#alignment - 1n)) throw new Refusal("EINVAL");
    const area = { start, last: start + length - 1n, writeable, pageOffset };
    // iopt_area_fill_domains()
    for (const domain of this.#domains) checkProtection(domain, area);
    this.#areas.insert(area);
    return start;
  }

  /** iopt_unmap_iova() or iopt_unmap_all(): returns how many bytes were unmapped, which may be none. */
  unmap(start: bigint, last: bigint): bigint {
    let unmapped = 0n;
    for (const area of this.#areas.overlapping(start, last)) {
      // Areas before this one stay unmapped: the kernel does not roll back either.
      if (area.start < start || area.last > last) throw new Refusal("ENOENT");
      this.#areas.remove(area);
      unmapped += area.last - area.start + 1n;
    }
    return unmapped;
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
      // iopt_fill_domain()
      for (const area of this.#areas) checkProtection(domain, area);
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
    this.unreserve(domain);
    this.#alignment = this.#domains.reduce((alignment, each) => domainAlignment(each, alignment), 1n);
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
    const index = this.#reservations.findIndex((reservation) => reservation.start > start);
    this.#reservations.splice(index < 0 ? this.#reservations.length : index, 0, { start, last, owner });
  }

  /** iopt_check_iova() */
  #checkIova(iova: bigint, length: bigint): void {
    if (iova & (this.#alignment - 1n)) throw new Refusal("EINVAL");
    const last = iova + length - 1n;
    if (last > U64_MAX) throw new Refusal("EOVERFLOW");
    if (this.#reservations.some((reserved) => reserved.start <= last && reserved.last >= iova)) {
      throw new Refusal("EINVAL");
    }
    if (this.#areas.firstOverlapping(iova, last) !== undefined) throw new Refusal("EEXIST");
  }

  /** iopt_alloc_iova(): the first hole that is long enough, never IOVA 0. */
  #place(address: bigint, length: bigint): bigint {
    if (length >= U64_MAX / 2n) throw new Refusal("EOVERFLOW");
    const pageOffset = address % this.#pageSize;
    let alignment = roundUpToPowerOfTwo(length);
    if (address !== 0n) alignment = min(alignment, lowestSetBit(address));
    alignment = min(alignment, HUGE_PAGE);
    if (alignment < this.#alignment) throw new Refusal("EINVAL");

    for (const hole of this.#holes()) {
      const start = ((hole.start + alignment - 1n) & -alignment) | pageOffset;
      if (start < hole.last && hole.last - start >= length - 1n) return start;
    }
    throw new Refusal("ENOSPC");
  }

  /** What is neither reserved nor mapped, without the first and the last page. */
  *#holes(): Generator<IovaRange> {
    let next = this.#pageSize;
    for (const { start, last } of mergeByStart(this.#areas, this.#reservations)) {
      if (start > next) yield { start: next, last: start - 1n };
      if (last >= next) next = last + 1n;
    }
    const end = U64_MAX - this.#pageSize;
    if (next <= end) yield { start: next, last: end };
  }

  /** iopt_check_iova_alignment() */
  #checkAlignment(alignment: bigint): void {
    const mask = alignment - 1n;
    for (const { start, last, pageOffset } of this.#areas) {
      if ((start & mask) | ((last - start + 1n) & mask) | (pageOffset & mask))
        throw new Refusal("EADDRINUSE");
    }
  }
}

/** PT_FEAT_VTDSS_FORCE_WRITEABLE: the page table of a nest parent refuses an entry without write permission. */
function checkProtection(domain: Domain, area: Area): void {
  if (domain.forceWriteable && !area.writeable) throw new Refusal("EINVAL");
}

function domainAlignment({ profile }: Domain, least: bigint): bigint {
  const smallest = profile.pageSizes.reduce(min);
  return smallest > least ? smallest : least;
}

function* mergeByStart(left: Iterable<IovaRange>, right: Iterable<IovaRange>): Generator<IovaRange> {
  const lefts = left[Symbol.iterator]();
  const rights = right[Symbol.iterator]();
  let a = lefts.next();
  let b = rights.next();
  while (!a.done || !b.done) {
    if (b.done || (!a.done && a.value.start <= b.value.start)) {
      yield (a as IteratorYieldResult<IovaRange>).value;
      a = lefts.next();
    } else {
      yield b.value;
      b = rights.next();
    }
  }
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function lowestSetBit(value: bigint): bigint {
  return value & -value;
}

function roundUpToPowerOfTwo(value: bigint): bigint {
  return value <= 1n ? 1n : 1n << BigInt((value - 1n).toString(2).length);
}
