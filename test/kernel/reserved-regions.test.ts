/** A machine whose firmware reserves memory for two devices: IOMMUFD_TEST_MACHINE=reserved-regions. */

import { readFileSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { readKernelLog } from "../../lib/host/kernel-log.ts";
import { Iommufd } from "../../lib/index.ts";
import { iommufd, unwrapped } from "../e2e/command.ts";

const [KEPT, FREE, USB] = ["0000:00:01.0", "0000:00:02.0", "0000:00:1d.0"] as const;
/** As acpi-dmar.js has it. */
const REGION = "0x7ffff000-0x7fffffff";

describe.runIf(process.env["IOMMUFD_TEST_MACHINE"] === "reserved-regions")("memory of the firmware", () => {
  beforeAll(() => {
    writeFileSync(`/sys/bus/pci/devices/${USB}/driver_override`, "vfio-pci");
    writeFileSync("/sys/bus/pci/drivers_probe", USB);
  });

  it("doctor names it, and says for which device it is an obstacle", () => {
    const { status, stdout } = iommufd(["doctor"]);
    expect(status).toBe(3);
    expect(unwrapped(stdout)).toMatch(
      new RegExp(
        `^fail +${KEPT} +the firmware keeps memory mapped for IOMMU group \\d+: ${REGION} \\(RMRR of the DMAR table\\); binding its devices answers EINVAL$`,
        "m",
      ),
    );
    expect(unwrapped(stdout)).toMatch(
      new RegExp(
        `^pass +${USB} +the firmware's memory for IOMMU group \\d+ does not stand in the way: ${REGION} \\(direct-relaxable\\)$`,
        "m",
      ),
    );
    expect(stdout).not.toMatch(new RegExp(`^\\w+ +${FREE} +the firmware`, "m"));
  });

  it("the kernel gives away what doctor says, and nothing else", () => {
    using machine = Iommufd.open({ backend: "kernel" });
    expect(() => machine.openDevice(KEPT)).toThrow(
      /^EINVAL: .*the firmware reserves memory for its IOMMU group/,
    );
    for (const bdf of [FREE, USB]) machine.openDevice(bdf).close();
    const troubleshooting = readFileSync(new URL("../../docs/troubleshooting.md", import.meta.url), "utf8");
    const [line = ""] = troubleshooting.match(/^Firmware has requested .*$/m) ?? [];
    expect(line).not.toBe("");
    expect(readKernelLog("/")?.text).toContain(`vfio-pci ${KEPT}: ${line}\n`);
  });
});
