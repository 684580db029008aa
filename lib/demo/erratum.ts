/**
 * ERRATA_772415_SPR17, shown on modelled hardware: what it does to a guest's ROM, and what `bypassRo` does about it.
 */

import { softwareMachine } from "../backend/select.ts";
import { DmaFault } from "../backend/software/dma.ts";
import type { DmaFaultReason } from "../backend/software/iommus/stage-1.ts";
import { loadProfile, type Profile } from "../backend/software/profile.ts";
import { plan } from "../container/plan.ts";
import { isSystemError } from "../errors.ts";
import { Iommufd } from "../iommufd/iommufd.ts";
import type { MemorySection } from "../section.ts";

/** Where the guest has what, and what the device writes. */
const ROM = 0xf_0000n;
const RAM_LENGTH = 64n << 10n;
const ROM_LENGTH = 16n << 10n;
const IOVA = 0x1000n;
const TARGET = 0x5000n;
const MESSAGE = new TextEncoder().encode("DMA");

/** The guest's memory. */
const SECTIONS: readonly MemorySection[] = [
  { region: "guest RAM", start: 0n, size: RAM_LENGTH, offsetInRegion: 0n, type: "ram", readonly: false },
  { region: "guest ROM", start: ROM, size: ROM_LENGTH, offsetInRegion: 0n, type: "ram", readonly: true },
];

/** An entry of the guest's page table that is not what it was. */
export interface ChangedEntry {
  /** Its guest-physical address. */
  readonly address: bigint;
  readonly before: bigint;
  readonly after: bigint;
}

/** The outcome of the write on one host. */
export interface ErratumCase {
  /** The host, in a few words. */
  readonly host: string;
  /** How the guest's ROM is mapped in the nest parent. */
  readonly rom: "read-only" | "not mapped";
  /** Why the kernel refused to map it; the device wrote nothing then. */
  readonly refused: string | null;
  /** Whether the write arrived in the guest's RAM. */
  readonly arrived: boolean;
  /** Why the IOMMU stopped it; null where it did not. */
  readonly stopped: DmaFaultReason | null;
  /** The entries that the IOMMU changed in the ROM. */
  readonly changed: readonly ChangedEntry[];
}

/** The result of the demonstration. */
export interface ErratumDemo {
  /** The address that the device writes to. */
  readonly iova: bigint;
  /** Where the guest's page table leads it. */
  readonly target: bigint;
  readonly cases: readonly ErratumCase[];
  /** The profiles that the hosts are models of. */
  readonly profiles: readonly string[];
}

/** Runs it: a guest with its I/O page table in ROM, a device that writes once, on four hosts. */
export async function demonstrateErratum(): Promise<ErratumDemo> {
  const affected = loadProfile("sapphire-rapids");
  const unaffected = loadProfile("vtd-no-erratum");
  const cases = [
    await tryOn("hardware with the erratum, a kernel that does not know of it", unaware(affected), false),
    await tryOn("the same hardware, a kernel that reports it", affected, false),
    await tryOn("the same, with bypassRo", affected, true),
    await tryOn("hardware without the erratum", unaffected, false),
  ];
  return { iova: IOVA, target: TARGET, cases, profiles: [affected.name, unaffected.name] };
}

/** The same hardware under a kernel from before the flag. */
function unaware(profile: Profile): Profile {
  const iommus = Object.entries(profile.iommus).map(([name, iommu]) => {
    const hwInfo = iommu.hwInfo.type === "intel-vtd" ? { ...iommu.hwInfo, flags: [] } : iommu.hwInfo;
    return [name, { ...iommu, hwInfo, erratum772415: true }] as const;
  });
  return { ...profile, iommus: Object.fromEntries(iommus) };
}

async function tryOn(host: string, profile: Profile, bypassRo: boolean): Promise<ErratumCase> {
  const selected = softwareMachine(profile);
  using iommufd = Iommufd.open(selected);
  const [bdf = ""] = iommufd.devices();
  const device = iommufd.openDevice(bdf);
  const ioas = iommufd.allocIoas();
  const ram = iommufd.allocMemory(RAM_LENGTH);
  const rom = iommufd.allocMemory(ROM_LENGTH);
  const table = new BigUint64Array(rom.buffer);
  writePageTable(table);
  const before = table.slice();

  const parent = ioas.allocHwptSync(device, { nestParent: true });
  const decided = plan(SECTIONS, { bypassRo }).map;
  const found = { host, rom: decided.some(({ readonly }) => readonly) ? "read-only" : "not mapped" } as const;
  try {
    for (const { iova, length, readonly } of decided) {
      ioas.mapSync(readonly ? rom : ram, { iova, length, writable: !readonly });
    }
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return { ...found, refused: error.code, arrived: false, stopped: null, changed: [] };
  }
  const data = { type: "vtd-s1", flags: 0n, pgtblAddr: ROM, addrWidth: 48 } as const;
  device.attachSync(parent.allocNestedSync(device, data));

  let stopped: DmaFaultReason | null = null;
  try {
    await selected.dmaWrite(bdf, IOVA, MESSAGE);
  } catch (error) {
    if (!(error instanceof DmaFault)) throw error;
    stopped = error.reason;
  }
  const written = new Uint8Array(ram.buffer, Number(TARGET), MESSAGE.length);
  const arrived = Buffer.compare(written, MESSAGE) === 0;
  return { ...found, refused: null, arrived, stopped, changed: changes(before, table) };
}

/** Four levels, one after the other in the ROM; one page, which may be read and written. */
function writePageTable(entries: BigUint64Array): void {
  const PRESENT_WRITABLE = 3n;
  for (const level of [0, 1, 2]) entries[level * 512] = (ROM + BigInt(level + 1) * 4096n) | PRESENT_WRITABLE;
  entries[3 * 512 + Number(IOVA >> 12n)] = TARGET | PRESENT_WRITABLE;
}

function changes(before: BigUint64Array, after: BigUint64Array): ChangedEntry[] {
  return [...before.entries()].flatMap(([index, value]) => {
    const now = after[index] as bigint;
    return now === value ? [] : [{ address: ROM + BigInt(index) * 8n, before: value, after: now }];
  });
}
