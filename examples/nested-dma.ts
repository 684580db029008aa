/**
 * DMA through two stages of translation: what a VMM does for a guest with a virtual SMMUv3, and what the guest does with
 * it. The guest's page table (stage 1) leads from a device's addresses to the guest's, the host's (stage 2, the nest parent)
 * from there to memory.
 *
 * Run it where an edu device (docs/specs/edu.rst in QEMU) is bound to vfio-pci behind an SMMUv3 with both stages, as the kernel
 * lane does, or anywhere on the model: `nested-dma.ts [BDF] [--profile qemu-smmuv3]`. Names are those of the Arm SMMU architecture,
 * version 3 (IHI 0070).
 */

import { parseArgs } from "node:util";
import { decodeHwInfo, Iommufd, softwareMachine } from "iommufd";
import { dmaOf } from "./edu.ts";

const { values: options, positionals } = parseArgs({
  options: { profile: { type: "string" } },
  allowPositionals: true,
});
const machine = options.profile === undefined ? undefined : softwareMachine(options.profile);
using iommufd = Iommufd.open(machine ?? { backend: "kernel" });
using device = iommufd.openDevice(positionals[0] ?? "0000:00:01.0");
const { smmuv3 } = decodeHwInfo(device.hwInfo());
if (smmuv3 === undefined) throw new Error(`${device.name} is not behind an SMMUv3`);
console.log(`${device.name}: SMMUv${smmuv3.derived.version}`);

// The guest's memory, and its ROM: an SMMU has no ERRATA_772415_SPR17, so a nest parent may have read-only mappings.
const PAGE = 0x1000;
const RAM = 0x4000_0000n;
const ROM = 0x5000_0000n;
/** How much is copied at once. */
const LENGTH = 256;
const memory = iommufd.allocMemory(64n * 1024n);
const rom = iommufd.allocMemory(64n * 1024n);
using ioas = iommufd.allocIoas();
const stage2 = await ioas.allocHwpt(device, { nestParent: true });
await ioas.map(memory, { iova: RAM });
await ioas.map(rom, { iova: ROM, writable: false });

/** Pages of the guest's memory, by number. */
const [CONTEXT, LEVEL_1, LEVEL_2, LEVEL_3, SOURCE, TARGET, READ_ONLY] = [0, 1, 2, 3, 4, 5, 6];
const guestAddress = (page: number) => RAM + BigInt(page * PAGE);
const words = (page: number) => new BigUint64Array(memory.buffer, page * PAGE, PAGE / 8);
const bytes = (page: number) => new Uint8Array(memory.buffer, page * PAGE, LENGTH);

// The guest's page table: three levels for 39 bits of address, with pages of 4 KiB. A device finds page N of the memory at
// address N * 4096, and the ROM behind the last of them.
const VALID = 3n; // a table, or a page where there is no further level
const ACCESS_FLAG = 1n << 10n;
const INNER_SHAREABLE = 3n << 8n;
const UNPRIVILEGED = 1n << 6n;
const NO_WRITE = 1n << 7n;
const PAGE_ENTRY = VALID | ACCESS_FLAG | INNER_SHAREABLE | UNPRIVILEGED;
const ROM_PAGE = 16;
const deviceAddress = (page: number) => BigInt(page * PAGE);
words(LEVEL_1)[0] = guestAddress(LEVEL_2) | VALID;
words(LEVEL_2)[0] = guestAddress(LEVEL_3) | VALID;
words(LEVEL_3)[SOURCE] = guestAddress(SOURCE) | PAGE_ENTRY;
words(LEVEL_3)[TARGET] = guestAddress(TARGET) | PAGE_ENTRY;
words(LEVEL_3)[READ_ONLY] = guestAddress(READ_ONLY) | PAGE_ENTRY | NO_WRITE;
words(LEVEL_3)[ROM_PAGE] = ROM | PAGE_ENTRY;

// The guest's context descriptor leads to that table.
const ASID = 1n;
words(CONTEXT).set([
  25n | // T0SZ: 64 - 39
    (1n << 8n) | // IR0: tables are cached, write-back
    (1n << 10n) | // OR0
    (3n << 12n) | // SH0: inner shareable
    (1n << 30n) | // EPD1: there is no second table
    (1n << 31n) | // V
    (4n << 32n) | // IPS: guest addresses of 44 bits
    (1n << 41n) | // AA64
    (1n << 45n) | // R: faults are recorded
    (1n << 46n) | // A: and the device's transaction is aborted
    (ASID << 48n),
  guestAddress(LEVEL_1), // TTB0
  0n,
  0xffn, // MAIR0: normal memory, write-back
]);

// The VMM gives the guest a vIOMMU, in which the device has a StreamID, and takes the guest's stream table entry.
const STREAM_ID = 8n;
const viommu = stage2.allocViommu(device, "arm-smmuv3");
viommu.allocVdevice(device, STREAM_ID);
const events = viommu.allocVeventQueue({ type: "arm-smmuv3", depth: 1024 });
const stage1 = await stage2.allocNested(
  device,
  {
    type: "arm-smmuv3",
    ste: [
      1n | (5n << 1n) | guestAddress(CONTEXT), // V, Config: stage 1 translates, S1ContextPtr
      (1n << 2n) | (1n << 4n) | (3n << 6n), // S1CIR, S1COR, S1CSH: as in the context descriptor
    ],
  },
  { viommu },
);
await device.attach(stage1);

// The guest has the device do DMA. DMA that the SMMU stops does not arrive; the device does not learn of it.
const dma = dmaOf(device, machine);
const read = (page: number) => dma.read(deviceAddress(page), LENGTH);
const write = (page: number) => dma.write(deviceAddress(page), LENGTH);

const pattern = Uint8Array.from({ length: LENGTH }, (_, index) => index ^ 0x5a);
const outcome = (target: Uint8Array) =>
  Buffer.compare(target, pattern) === 0
    ? "every byte arrived"
    : target.every((byte) => byte === 0)
      ? "nothing arrived"
      : "some bytes arrived";

bytes(SOURCE).set(pattern);
await read(SOURCE);
await write(TARGET);
console.log(`through two stages and back: ${outcome(bytes(TARGET))}`);

/** The SMMU's event to the guest about a page. Where a device's write is refused, edu tries all of its words. */
async function faultOf(page: number): Promise<string> {
  for await (const event of events) {
    if (event.type !== "arm-smmuv3" || event.record[2] !== deviceAddress(page)) continue;
    const name = { 16: "F_TRANSLATION", 19: "F_PERMISSION" }[event.eventId] ?? `event ${event.eventId}`;
    return `${name} of stream ${event.streamId} at 0x${event.record[2].toString(16)}`;
  }
  return "no event";
}

await write(READ_ONLY);
console.log(
  `a write to a page that stage 1 has read-only: ${outcome(bytes(READ_ONLY))}; ${await faultOf(READ_ONLY)}`,
);

const CMD_TLBI_NH_VA = 0x12n;
const LEAF = 1n;
bytes(TARGET).fill(0);
words(LEVEL_3)[TARGET] = 0n;
viommu.invalidate([[CMD_TLBI_NH_VA | (ASID << 48n), deviceAddress(TARGET) | LEAF]]);
await write(TARGET);
console.log(
  `a write to a page whose entry the guest cleared: ${outcome(bytes(TARGET))}; ${await faultOf(TARGET)}`,
);

const romBytes = new Uint8Array(rom.buffer, 0, LENGTH);
await write(ROM_PAGE);
console.log(`a write to ROM, which stage 2 has read-only: ${outcome(romBytes)}`);

romBytes.set(pattern);
bytes(SOURCE).fill(0);
await read(ROM_PAGE);
await write(SOURCE);
console.log(`a read of ROM: ${outcome(bytes(SOURCE))}`);
