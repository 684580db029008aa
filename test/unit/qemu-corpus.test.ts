/**
 * The plans of the corpus: what is done with each section, why that is what QEMU does, and that it is what its VFIO listener did.
 *
 * The corpus is written by test/qemu/corpus.test.ts. The corpus lacks devices that need KVM: SGX ("invalid object
 * type: memory-backend-epc") and confidential guests. QEMU 11.1.3 refuses these with ("accelerator does not support
 * confidential guest sev-guest", "cannot set
 * up private guest memory for tdx-guest: KVM required", QEMU 11.1.3). Their QMP answers follow QEMU's own schema.
 */

import { describe, expect, it } from "vitest";
import { type Decision, isMapping, plan, readMemoryMap, type SkipReason } from "../../lib/index.ts";
import type { Answer } from "../../lib/memory-map/monitor.ts";
import { askCapture, CAPTURED, type Capture, commandKey } from "../fixtures/corpus.ts";

/** The rules of hw/vfio/listener.c, in words. */
const RULE = {
  ram: "memory_region_is_ram(): mapped, writable (vfio_container_region_add)",
  readonlyRam: "memory_region_is_ram(), the view is read-only: mapped without write permission",
  device: "no RAM and no IOMMU region: skipped (vfio_listener_skipped_section)",
  romDevice:
    "memory_region_is_ram() is false for a ROM device, in either mode: skipped (vfio_listener_skipped_section)",
  discard:
    "RAM under a discard manager: what is plugged is mapped, block by block (vfio_ram_discard_register_listener)",
  tpm: "misaligned, and known to be harmless (vfio_known_safe_misalignment)",
  subPage: "RAM of a device, with no whole page in it (vfio_get_section_iova_range)",
} as const;

type Use = "map" | "map read-only" | SkipReason;

/** The use of a region, the rule, and the place of the rule in QEMU. */
const REGIONS: readonly (readonly [region: string, use: Use, rule: keyof typeof RULE, made: string])[] = [
  ["pc.ram", "map", "ram", "hw/core/machine.c: the default memory backend"],
  [
    "pc.ram",
    "map read-only",
    "readonlyRam",
    "hw/pci-host/pam.c: RAM below 1 MiB that the firmware has locked",
  ],
  ["microvm.ram", "map", "ram", "hw/core/machine.c: the default memory backend"],
  ["mach-virt.ram", "map", "ram", "hw/core/machine.c: the default memory backend"],
  ["pc.rom", "map read-only", "readonlyRam", "hw/i386/pc.c: RAM for option ROMs, read-only with PCI"],
  ["pc.bios", "map read-only", "readonlyRam", "hw/i386/x86-common.c: RAM that the BIOS is loaded into"],
  ["pc.bios", "map", "ram", "hw/i386/x86-common.c: of a microvm, it is writable"],
  [
    "isa-bios",
    "map read-only",
    "readonlyRam",
    "hw/i386/pc_sysfw.c: of older machine types, RAM with a copy of the flash's end",
  ],
  ["system.flash0", "not-ram", "romDevice", "hw/block/pflash_cfi01.c: memory_region_init_rom_device()"],
  ["system.flash1", "not-ram", "romDevice", "hw/block/pflash_cfi01.c: memory_region_init_rom_device()"],
  ["virt.flash0", "not-ram", "romDevice", "hw/block/pflash_cfi01.c: memory_region_init_rom_device()"],
  ["virt.flash1", "not-ram", "romDevice", "hw/block/pflash_cfi01.c: memory_region_init_rom_device()"],
  [
    "vga.rom",
    "map read-only",
    "readonlyRam",
    "hw/pci/pci.c: an option ROM is memory_region_init_rom(), which is RAM",
  ],
  ["vga.vram", "map", "ram", "hw/display/vga.c: RAM behind a BAR"],
  ["shared", "map", "ram", "hw/misc/ivshmem-pci.c: a memory backend behind a BAR"],
  ["file0", "map", "ram", "backends/hostmem-file.c, in an NVDIMM"],
  [
    "file1",
    "map read-only",
    "readonlyRam",
    "backends/hostmem-file.c with readonly=on: ROM, which is RAM; in an unarmed NVDIMM",
  ],
  [
    "file2",
    "map",
    "ram",
    "backends/hostmem-file.c with readonly=on,rom=off: RAM of a private mapping, in a DIMM",
  ],
  ["file3", "map", "ram", "backends/hostmem-file.c, in a virtio-pmem"],
  ["vm0", "map", "discard", "hw/virtio/virtio-mem.c"],
  ["tpm-crb-cmd", "misaligned", "tpm", "hw/tpm/tpm_crb.c"],
  ["tpm-ppi", "sub-page", "subPage", "hw/tpm/tpm_ppi.c"],
  ...(
    [
      ["acpi-ged", "hw/acpi/generic_event_device.c"],
      ["acpi-ged-regs", "hw/acpi/generic_event_device.c"],
      ["ahci", "hw/ide/ahci.c"],
      ["apic-msi", "hw/intc/apic.c"],
      ["bochs dispi interface", "hw/display/vga-pci.c"],
      ["e1000-mmio", "hw/net/e1000.c"],
      ["e1000e-mmio", "hw/net/e1000e.c"],
      ["edid", "hw/display/edid-region.c"],
      ["fwcfg.ctl", "hw/nvram/fw_cfg.c"],
      ["fwcfg.data", "hw/nvram/fw_cfg.c"],
      ["fwcfg.dma", "hw/nvram/fw_cfg.c"],
      ["gic_cpu", "hw/intc/arm_gic.c"],
      ["gic_dist", "hw/intc/arm_gic.c"],
      ["gicv2m", "hw/intc/arm_gicv2m.c"],
      ["gpex_ioport_window", "hw/pci-host/gpex.c"],
      ["gpex_mmio_window", "hw/pci-host/gpex.c"],
      ["hpet", "hw/timer/hpet.c"],
      ["ioapic", "hw/intc/ioapic.c"],
      ["ivshmem-mmio", "hw/misc/ivshmem-pci.c"],
      ["lpc-rcrb-mmio", "hw/isa/lpc_ich9.c"],
      ["msix-pba", "hw/pci/msix.c"],
      ["msix-table", "hw/pci/msix.c"],
      ["pcie-mmcfg-mmio", "hw/pci/pcie_host.c"],
      ["pl011", "hw/char/pl011.c"],
      ["pl031", "hw/rtc/pl031.c"],
      ["pl061", "hw/gpio/pl061.c"],
      ["qemu extended regs", "hw/display/vga-pci.c"],
      ["smbase-blackhole", "hw/pci-host/q35.c"],
      ["tpm-crb-mmio", "hw/tpm/tpm_crb.c"],
      ["tseg-blackhole", "hw/pci-host/q35.c"],
      ["vga ioports remapped", "hw/display/vga-pci.c"],
      ["vga-lowmem", "hw/display/vga.c"],
      ["vga.mmio", "hw/display/vga-pci.c"],
      ["virtio-mmio", "hw/virtio/virtio-mmio.c"],
      ["virtio-pci-common-virtio-pmem", "hw/virtio/virtio-pci.c"],
      ["virtio-pci-device-virtio-pmem", "hw/virtio/virtio-pci.c"],
      ["virtio-pci-isr-virtio-pmem", "hw/virtio/virtio-pci.c"],
      ["virtio-pci-notify-virtio-pmem", "hw/virtio/virtio-pci.c"],
    ] as const
  ).map(([region, file]) => [region, "not-ram", "device", file] as const),
];

const useOf = (decision: Decision): Use =>
  isMapping(decision) ? (decision.readonly ? "map read-only" : "map") : decision.reason;

const captureOf = (wanted: string): Capture => {
  const found = CAPTURED.find(([name]) => name === wanted)?.[1];
  if (found === undefined) throw new Error(`no capture ${wanted}`);
  return found;
};

describe.each(CAPTURED)("%s", (name, capture) => {
  const fromText = () => readMemoryMap(capture.mtree, { source: name });

  it("asked over QMP, each section is used as its region's rule says", async () => {
    const { map, skipped } = plan((await askCapture(name, capture)).sections);
    for (const decision of [...map, ...skipped]) {
      const { region } = decision.section;
      const rules = REGIONS.filter(([of, use]) => of === region && use === useOf(decision));
      expect(rules, `${region}: ${useOf(decision)}`).toHaveLength(1);
      expect(decision.section.typeIsAssumed).toBeUndefined();
    }
  });

  it.runIf(capture.mapped !== null)("QEMU's listener mapped what is planned, and nothing else", async () => {
    const { sections, virtioMem } = await askCapture(name, capture);
    // No virtio-mem is plugged, so nothing of it is mapped. The plan says so beside.
    for (const { plugged } of virtioMem) expect(plugged).toBe(0n);
    const { map } = plan(sections.filter(({ start }) => virtioMem.every((each) => each.start !== start)));
    const hex = (value: bigint) => `0x${value.toString(16)}`;
    expect(
      map.map(({ iova, length, readonly }) => ({ iova: hex(iova), length: hex(length), readonly })),
    ).toEqual(capture.mapped);
  });

  it("the text is planned alike, but for sections that it is not sure of", async () => {
    const { sections } = await askCapture(name, capture);
    const certain = fromText().filter(({ typeIsAssumed }) => !typeIsAssumed);
    for (const section of certain) expect(sections).toContainEqual(section);
    expect(fromText().map(({ start }) => start)).toEqual(sections.map(({ start }) => start));
  });

  it("with what info mtree prints pasted below, the text is sure of all", async () => {
    const { sections } = await askCapture(name, capture);
    const tree = capture.answers[commandKey("human-monitor-command", { "command-line": "info mtree -o" })];
    const withoutOwners = String((tree as { return: unknown }).return).replaceAll(
      /(?: (?:owner|parent):\{[^}]*\}| orphan)+/g,
      "",
    );
    expect(
      readMemoryMap(`${capture.mtree}(qemu) info mtree\n${withoutOwners}(qemu) `, { source: name }),
    ).toEqual(sections);
  });
});

it("each rule is that of some section of the corpus", async () => {
  const used = new Set<string>();
  for (const [name, capture] of CAPTURED) {
    const { map, skipped } = plan((await askCapture(name, capture)).sections);
    for (const decision of [...map, ...skipped]) used.add(`${decision.section.region}: ${useOf(decision)}`);
  }
  expect(REGIONS.map(([region, use]) => `${region}: ${use}`).filter((each) => !used.has(each))).toEqual([]);
});

describe("rom in a flat view", () => {
  it.each(["pc-ovmf", "q35-ovmf", "q35-secure-boot", "q35-ovmf-10"])(
    "is no RAM where other ranges of the region say so: the flash of %s",
    (name) => {
      const capture = captureOf(name);
      expect(capture.mtree).toMatch(/, rom\): system\.flash0/);
      const low = readMemoryMap(capture.mtree, { source: name }).find(
        ({ region, start }) => region === "system.flash0" && start < 1n << 20n,
      );
      expect(low).toMatchObject({ type: "other", readonly: true });
      expect(low?.typeIsAssumed).toBeUndefined();
    },
  );

  it.each([
    ["pc-option-rom", ["vga.rom"]],
    ["q35-devices", ["file1"]],
    ["pc-seabios", []],
  ])("of %s, a text is not sure of %j", (name, regions) => {
    const sections = readMemoryMap(captureOf(name).mtree, { source: name });
    expect(sections.filter(({ typeIsAssumed }) => typeIsAssumed).map(({ region }) => region)).toEqual(
      regions,
    );
  });
});

describe("memory that devices must not reach", () => {
  const name = "q35-virtio-mem";
  const capture = captureOf(name);
  const answers = (command: string, args: object, answer: unknown): Record<string, Answer> => ({
    [commandKey(command, args)]: { return: answer },
  });

  it("SGX's is protected, as query-memory-devices tells (qapi/machine.json, SgxEPCDeviceInfo)", async () => {
    const epc = { id: "epc1", memaddr: 0x1_0000_0000, size: 64 << 20, node: 0, memdev: "/objects/vm0" };
    const { sections, sgxEpc } = await askCapture(
      name,
      capture,
      answers("query-memory-devices", {}, [{ type: "sgx-epc", data: epc }]),
    );
    expect(sgxEpc).toEqual([{ start: 0x1_0000_0000n, last: 0x1_03ff_ffffn }]);
    expect(plan(sections).skipped).toContainEqual({
      section: expect.objectContaining({ region: "vm0", start: 0x1_0000_0000n, protected: true }),
      reason: "protected",
    });
  });

  it("of an SGX device that cannot be read, nothing is planned", async () => {
    const device = { type: "sgx-epc", data: { memaddr: "0x100000000" } };
    await expect(
      askCapture(name, capture, answers("query-memory-devices", {}, [device])),
    ).rejects.toMatchObject({ code: "ERR_IOMMUFD_QEMU" });
  });

  const guest = (type: string) => ({
    ...answers("qom-get", { path: "/machine", property: "confidential-guest-support" }, "/objects/guest0"),
    ...answers("qom-get", { path: "/objects/guest0", property: "type" }, type),
  });

  it.each(["sev-snp-guest", "tdx-guest", "s390-pv-guest", "some-later-guest"])(
    "a %s is refused by name",
    async (type) => {
      await expect(askCapture(name, capture, guest(type))).rejects.toMatchObject({
        code: "ERR_IOMMUFD_QEMU",
        message: expect.stringContaining(`${name}: a confidential guest (${type}) cannot be planned`),
      });
    },
  );

  it("a sev-guest is planned: its memory is RAM, encrypted where it is", async () => {
    expect((await askCapture(name, capture, guest("sev-guest"))).sections).toHaveLength(
      (await askCapture(name, capture)).sections.length,
    );
  });
});
