/** A machine without interrupt remapping, as with intremap=off: IOMMUFD_TEST_MACHINE=no-isolation. */

import { readFileSync, writeFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { Iommufd } from "../../lib/index.ts";
import { iommufd, unwrapped } from "../e2e/command.ts";

const GUEST = "examples/guest-with-nesting.mtree";
const BDF = "0000:00:01.0";
const PARAMETER = "/sys/module/iommufd/parameters/allow_unsafe_interrupts";
const WHY = "its interrupts are not isolated from those of the host (no interrupt remapping)";

describe.runIf(process.env["IOMMUFD_TEST_MACHINE"] === "no-isolation")("without interrupt remapping", () => {
  afterEach(() => writeFileSync(PARAMETER, "N"));

  it("doctor says that every bind will be refused, and why", () => {
    const { status, stdout } = iommufd(["doctor"]);
    expect(status).toBe(3);
    expect(unwrapped(stdout)).toContain(
      "interrupts are not remapped (/proc/interrupts), as intremap=off tells: binding a device answers EPERM\n",
    );
    // The machine's files are those of whoever runs this: a container, where steps are "On the host".
    expect(stdout).toMatch(
      /\n\d\. (On the host: )?take intremap=off off the kernel command line\n( {5}.*\n)*\d\. (On the host: )?reboot/i,
    );
  });

  it("every bind is refused, and every command says why", () => {
    using machine = Iommufd.open({ backend: "kernel" });
    expect(() => machine.openDevice(BDF)).toThrow(WHY);
    const message = expect.stringContaining(WHY);
    expect(iommufd(["probe", BDF])).toMatchObject({ status: 1, stdout: message });
    expect(iommufd(["probe", BDF, "--format", "nfd"])).toMatchObject({ status: 1, stderr: message });
    expect(iommufd(["plan", GUEST, "--device", BDF])).toMatchObject({ status: 1, stderr: message });
    expect(iommufd(["check", GUEST, "--device", BDF])).toMatchObject({ status: 1, stderr: message });
    expect(iommufd(["capture", BDF])).toMatchObject({ status: 1, stderr: message });
  });

  it("with allow_unsafe_interrupts they are not, and doctor warns", () => {
    writeFileSync(PARAMETER, "Y");
    expect(readFileSync(PARAMETER, "utf8")).toBe("Y\n");
    expect(iommufd(["probe", BDF]).status).toBe(0);
    const { status, stdout } = iommufd(["doctor", "--json"]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout).checks).toContainEqual(
      expect.objectContaining({ name: "interrupt isolation", status: "warn" }),
    );
  });
});
