/** Whether the erratum's rule has been run into, or will be: the kernel's log, and the QEMUs that are installed. */

import { type HostCheck, type Need, pass, unknown, warn } from "./check.ts";
import type { Machine } from "./machine.ts";
import { canNest } from "./turn-on.ts";

/**
 * The kernel's message when it refuses a read-only mapping (drivers/iommu/intel/iommu.c; generic_pt/fmt/vtdss.h in
 * 7.2).
 */
const REFUSAL = "due to HW errata (ERRATA_772415_SPR17)";

const LEAVE_OUT = "QEMU 11.0 and later leave read-only memory out";

/** The same of all that is said about read-only memory, so that a plan has it once. */
export function leaveOut({ qemus }: Machine): Need {
  const ready = qemus.length > 0 && qemus.every(({ nesting }) => nesting === "leaves-out");
  const who = ready
    ? "the installed QEMU does, another VMM has to"
    : "QEMU 11.0 and later do, another VMM has to";
  return {
    kind: "vmm",
    text: `for nested translation, leave read-only memory out of nest parents: ${who}; \`iommufd plan\` shows what it is`,
  };
}

/** The rule is of VT-d, where units nest. */
function isConcerned(machine: Machine): boolean {
  const { make, guest } = machine.platform;
  if (guest && machine.iommus.length === 0) return false;
  return (make === undefined || make === "intel") && canNest(machine) !== false;
}

/** Looks for the kernel's line, on VT-d alone. */
export function checkLog(machine: Machine): HostCheck[] {
  const name = "kernel log";
  if (!isConcerned(machine)) return [];
  const { kernelLog } = machine;
  if (kernelLog === undefined) {
    return [
      unknown(
        name,
        "this user may not read it",
        "as root: dmesg | grep ERRATA_772415_SPR17 (docs/troubleshooting.md)",
      ),
    ];
  }
  const { source, text } = kernelLog;
  if (!text.includes(REFUSAL))
    return [pass(name, `no read-only mapping was refused, as far as ${source} goes back`)];
  return [
    warn(
      name,
      `a read-only mapping in a nest parent was refused (ERRATA_772415_SPR17 in ${source})`,
      `a VMM that nests maps read-only memory: ${LEAVE_OUT}; docs/troubleshooting.md`,
      leaveOut(machine),
    ),
  ];
}

/** Whether the QEMUs leave read-only sections out, on VT-d alone. */
export function checkQemus(machine: Machine): HostCheck[] {
  const name = "QEMU";
  if (!isConcerned(machine)) return [];
  const { qemus } = machine;
  if (qemus.length === 0) {
    return [
      unknown(
        name,
        "none is installed in /usr/bin, /usr/local/bin or /usr/libexec",
        "`iommufd plan --qmp SOCKET` asks a running QEMU; other VMMs have to leave read-only memory out by themselves",
      ),
    ];
  }
  return qemus.map(({ path, version, nesting }) => {
    const which = `${version ?? "of an unknown version"}, ${path}`;
    switch (nesting) {
      case "leaves-out":
        return pass(name, `${which}: leaves read-only memory out of a nest parent (commit 68d3a2a24d)`);
      case "maps":
        return warn(
          name,
          `${which}: nests without commit 68d3a2a24d, and so maps read-only memory, which the kernel refuses (EINVAL)`,
          `for nested translation: ${LEAVE_OUT}`,
          leaveOut(machine),
        );
      case "never-nests":
        return warn(
          name,
          `${which}: does not nest`,
          "for nested translation: QEMU 11.0 or later",
          leaveOut(machine),
        );
      default:
        return unknown(
          name,
          `whether ${which}, nests, and has commit 68d3a2a24d`,
          `${LEAVE_OUT}; for an earlier QEMU, the changelog of its package says whether it has the commit`,
        );
    }
  });
}
