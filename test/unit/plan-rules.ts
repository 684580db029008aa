/** Rules that hold for every plan of doctor, whatever the machine. */

import { expect } from "vitest";
import type { CheckStatus } from "../../lib/host/check.ts";
import type { Diagnosis } from "../../lib/host/doctor.ts";
import { Machine } from "../../lib/host/machine.ts";

/** Advice that would contradict a check that passed, or one that another check decides. */
const CONTRADICTIONS: readonly (readonly [check: string, status: CheckStatus, advice: RegExp])[] = [
  ["kernel", "pass", /kernel of Linux/],
  ["kernel config", "pass", /CONFIG_IOMMUFD|CONFIG_VFIO_DEVICE_CDEV|kernel of .*character devices/],
  ["/dev/iommu", "pass", /--device \/dev\/iommu\b|open \/dev\/iommu\b/],
  ["IOMMU", "pass", /turn on (VT-d|IOMMU|SMMU)|hypervisor give this guest an IOMMU|dmesg \| grep/],
  ["interrupt isolation", "pass", /intremap|interrupt remapping/],
  ["scalable mode", "pass", /sm_on/],
  ["nested translation", "fail", /sm_on|QEMU 11|kernel of Linux (6\.8|6\.13|7\.0)/],
  ["QEMU", "pass", /QEMU 11/],
  ["locked memory", "pass", /RLIMIT_MEMLOCK/],
];

/** Fails if a plan contradicts itself, reboots twice, leaves something open, or harms the host. */
export function expectSound(root: string, { checks, steps }: Diagnosis): void {
  const machine = new Machine(root);
  const text = steps.map(({ title, commands }) => [title, ...commands].join("\n")).join("\n");
  // Without what is taken off the command line.
  const asked = text.replaceAll(
    /in place of .*|[Tt]ake .* off|--remove-args="[^"]*"|--delete-if-present=\S+|sed -i .*/g,
    "",
  );
  for (const [name, status, advice] of CONTRADICTIONS) {
    const found = checks.filter((check) => check.name === name);
    if (found.length > 0 && found.every((check) => check.status === status))
      expect(asked).not.toMatch(advice);
  }

  const reboots = steps.filter(({ commands }) => /\b(reboot|poweroff)\b/.test(commands.join()));
  expect(reboots.length).toBeLessThanOrEqual(1);
  const at = reboots[0] === undefined ? -1 : steps.indexOf(reboots[0]);
  for (const [index, { title, commands }] of steps.entries()) {
    // Settings that a boot undoes come after the reboot; settings that take effect with it come before.
    if (/modprobe|driver_override|driverctl/.test(commands.join())) expect(index).toBeGreaterThan(at);
    if (/kernel command line|nstall a kernel|urn on .* in the firmware's setup/.test(title))
      expect(index).toBeLessThan(at);
  }

  for (const { status, needs, fix } of checks) {
    if (status === "pass") expect([fix, needs]).toEqual([null, []]);
    else expect(fix).not.toBe("");
    if (status === "fail" || status === "warn") expect(needs.length).toBeGreaterThan(0);
  }
  // Each need has its step, except where only another machine helps.
  const all = checks.flatMap(({ needs }) => needs);
  const lower = text.toLowerCase();
  if (!all.some(({ kind }) => kind === "elsewhere")) {
    for (const need of all) {
      if ("text" in need) expect(lower).toContain(need.text.toLowerCase());
      if (need.kind === "parameters")
        for (const word of [...need.add, ...need.remove]) expect(text).toContain(word);
      if (need.kind === "bind") expect(text).toMatch(new RegExp(`(set-override|devices/)\\s?${need.bdf}`));
      if (need.kind === "container" || need.kind === "access")
        for (const file of need.files) expect(text).toContain(file);
    }
  }
  if (checks.some(({ status }) => status === "fail"))
    expect(steps.at(-1)?.commands[0]).toMatch(/^iommufd doctor/);

  // Nobody is told to give away what the host lives on, or what no VM can be given.
  for (const [, bdf = ""] of text.matchAll(
    /(?:set-override |devices\/)([0-9a-f:.]+)(?: vfio-pci|\/driver_override)/g,
  )) {
    const device = machine.device(bdf);
    expect([bdf, device?.bridge, device?.hostUse]).toEqual([bdf, false, []]);
    expect(device?.reservedRegions.filter(({ type }) => type === "direct")).toEqual([]);
    expect(checks.some((check) => check.name === bdf && check.found.startsWith("vfio-pci, "))).toBe(false);
  }
}
