/**
 * Facts about the memory of a running VM that the flat view does not show: virtio-mem, SGX, and confidential guests.
 */

import { IommufdError } from "../errors.ts";
import { schema } from "../lazy.ts";
import { type Monitor, named } from "./monitor.ts";

/** Memory that a VM can be given more of, and less, while it runs. */
export interface VirtioMem {
  /** The name that the owner of the VM gave it: `-device virtio-mem-pci,id=…`. */
  readonly id: string;
  /** Where it begins: all that it can grow to is from here. */
  readonly start: bigint;
  /** The last address of it. */
  readonly last: bigint;
  /** How much of it the VM has now, in bytes. QEMU maps only this; QMP does not say which parts. */
  readonly plugged: bigint;
}

/** Memory of SGX enclaves (the enclave page cache): a flat view shows it as RAM, and QEMU protects it from DMA. */
export interface SgxEpc {
  /** Where it begins. */
  readonly start: bigint;
  /** The last address of it. */
  readonly last: bigint;
}

/** The kinds of QMP's MemoryDeviceInfo that count here (qapi/machine.json). */
const memoryDevices = schema((z) => {
  const size = z.int().nonnegative().transform(BigInt);
  return z.array(
    z.union([
      z.object({
        type: z.literal("virtio-mem"),
        data: z.object({
          id: z.string().default("virtio-mem"),
          memaddr: size,
          size,
          "max-size": size,
        }),
      }),
      z.object({ type: z.literal("sgx-epc"), data: z.object({ memaddr: size, size }) }),
      // One of those that cannot be read must not pass for something else.
      z.object({ type: z.string().refine((type) => type !== "virtio-mem" && type !== "sgx-epc") }),
    ]),
  );
});

/** A name, or what else is text. */
const text = schema((z) => z.string());

/** Asks for the memory devices whose memory is not mapped as the flat view shows it. */
export async function askMemoryDevices(
  monitor: Monitor,
): Promise<{ virtioMem: VirtioMem[]; sgxEpc: SgxEpc[] }> {
  const virtioMem: VirtioMem[] = [];
  const sgxEpc: SgxEpc[] = [];
  for (const device of await monitor.ask("query-memory-devices", {}, memoryDevices())) {
    if (!("data" in device)) continue;
    const { memaddr: start } = device.data;
    if (device.type === "virtio-mem") {
      const { id, size: plugged, "max-size": whole } = device.data;
      virtioMem.push({ id, start, last: start + whole - 1n, plugged });
    } else {
      sgxEpc.push({ start, last: start + device.data.size - 1n });
    }
  }
  return { virtioMem, sgxEpc };
}

/**
 * The one kind of confidential guest whose memory QEMU maps as that of any other VM: with SEV and SEV-ES the memory is
 * encrypted where it is. Others keep theirs in a guest_memfd (target/i386/sev.c, target/i386/kvm/tdx.c). Devices reach
 * only the pages that the guest shares at the moment. QMP does not say which pages these are.
 */
const MAPPED_AS_ANY_OTHER = "sev-guest";

/**
 * Refuses a confidential guest whose mappings are not those of its memory map.
 *
 * @throws IommufdError ERR_IOMMUFD_QEMU: it is one, and of which kind
 */
export async function refuseConfidential(monitor: Monitor): Promise<void> {
  const property = "confidential-guest-support";
  // Earlier than QEMU 6.0 there is none.
  const properties = await monitor.ask("qom-list", { path: "/machine" }, named());
  if (!properties.some(({ name }) => name === property)) return;
  const path = await monitor.ask("qom-get", { path: "/machine", property }, text());
  if (path === "") return;
  const type = await monitor.ask("qom-get", { path, property: "type" }, text());
  if (type === MAPPED_AS_ANY_OTHER) return;
  throw new IommufdError(
    "ERR_IOMMUFD_QEMU",
    `${monitor.name}: a confidential guest (${type}) cannot be planned: its memory is private, and QEMU maps what the guest ` +
      "shares, page by page; the memory map does not show these pages",
  );
}
