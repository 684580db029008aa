/**
 * First-stage page tables of VT-d, of four or five levels (Intel Virtualization Technology for Directed I/O, revision 4.1, sections
 * 3.6 and 9.8; drivers/iommu/intel/nested.c).
 *
 * The IOMMU sets Accessed and Dirty flags in them, for which the second stage has to allow writing.
 */

import {
  type DriverData,
  type HwptVtdS1,
  IOMMU_HWPT_DATA_VTD_S1,
  IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
  IOMMU_VTD_INV_FLAGS_LEAF,
} from "../../../uapi.ts";
import type { BatchStatus } from "../../raw.ts";
import type { InvalidateRequest } from "../../requests.ts";
import { Refusal, stoppedAt } from "../refusal.ts";
import type { Access, AttachingDevice, Blocked, GuestMemory, Stage1 } from "./stage-1.ts";

/** Flags of an entry. */
const PRESENT = 1n << 0n;
const WRITABLE = 1n << 1n;
const ACCESSED = 1n << 5n;
const DIRTY = 1n << 6n;
const LARGE = 1n << 7n;
/** Where an entry points. */
const ADDRESS = 0x000f_ffff_ffff_f000n;

/** A guest's table. */
export class VtdStage1 implements Stage1 {
  readonly #data: HwptVtdS1;

  constructor(data: HwptVtdS1) {
    this.#data = data;
  }

  /** struct iommu_hwpt_vtd_s1, 24 bytes: u64 flags, u64 pgtbl_addr, u32 addr_width, u32 reserved. */
  static of({ type, bytes }: DriverData): VtdStage1 {
    if (type !== IOMMU_HWPT_DATA_VTD_S1) throw new Refusal("EOPNOTSUPP");
    if (bytes.length !== 24) throw new Refusal("EINVAL");
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return new VtdStage1({
      flags: view.getBigUint64(0, true),
      pgtblAddr: view.getBigUint64(8, true),
      addrWidth: view.getUint32(16, true),
    });
  }

  translate(memory: GuestMemory, access: Access, iova: bigint): bigint | Blocked {
    const { pgtblAddr, addrWidth } = this.#data;
    const width = BigInt(addrWidth);
    if (BigInt.asUintN(64, BigInt.asIntN(addrWidth, iova)) !== iova) return { reason: "not-canonical" };
    let table = pgtblAddr & ADDRESS;
    for (let shift = width - 9n; ; shift -= 9n) {
      const address = table + ((iova >> shift) & 0x1ffn) * 8n;
      const entry = memory.read(address);
      if (typeof entry !== "bigint") return entry;
      if (!(entry & PRESENT)) return { reason: "not-present" };
      if (access === "write" && !(entry & WRITABLE)) return { reason: "first-stage-read-only" };
      const leaf = shift === 12n || (entry & LARGE && (shift === 21n || shift === 30n));
      const marked = entry | (leaf && access === "write" ? ACCESSED | DIRTY : ACCESSED);
      const blocked = marked === entry ? undefined : memory.mark(address, marked);
      if (blocked !== undefined) return blocked;
      if (leaf) return (entry & ADDRESS & -(1n << shift)) | (iova & ((1n << shift) - 1n));
      table = entry & ADDRESS;
    }
  }

  /** intel_nested_attach_dev(), intel_pasid_setup_nested() */
  checkAttach({ hwInfo }: AttachingDevice): void {
    if (hwInfo.type !== "intel-vtd") throw new Refusal("EINVAL");
    const { capReg, ecapReg } = hwInfo;
    const has = (register: bigint, bit: bigint) => ((register >> bit) & 1n) === 1n;
    const widths = has(capReg, 60n) ? [48, 57] : [48]; // CAP.FS5LP
    if (!widths.includes(this.#data.addrWidth)) throw new Refusal("EINVAL");
    if (has(this.#data.flags, 0n) && !has(ecapReg, 31n)) throw new Refusal("EINVAL"); // SRE needs ECAP.SRS
    if (has(this.#data.flags, 1n) && !has(ecapReg, 34n)) throw new Refusal("EINVAL"); // EAFE needs ECAP.EAFS
  }

  /** intel_nested_cache_invalidate_user(): there is no IOTLB to drop anything from, each walk looks anew. */
  invalidate({ dataType, entryLength, count, entries }: InvalidateRequest): BatchStatus {
    const view = new DataView(entries.buffer, entries.byteOffset, entries.byteLength);
    if (dataType !== IOMMU_HWPT_INVALIDATE_DATA_VTD_S1) throw new Refusal("EINVAL");
    // struct iommu_hwpt_vtd_s1_invalidate: u64 addr, u64 npages, u32 flags, u32 reserved
    if (count > 0 && entryLength !== 24) throw new Refusal("EINVAL");
    for (let done = 0; done < count; done++) {
      const at = done * 24;
      const address = view.getBigUint64(at, true);
      const pages = view.getBigUint64(at + 8, true);
      const flags = view.getUint32(at + 16, true);
      const reserved = view.getUint32(at + 20, true);
      if (flags & ~IOMMU_VTD_INV_FLAGS_LEAF || reserved !== 0) return stoppedAt(done, "EOPNOTSUPP");
      const everything = pages === (1n << 64n) - 1n;
      if (address & 4095n || (everything && address !== 0n)) return stoppedAt(done, "EINVAL");
    }
    return { done: count, status: 0 };
  }
}
