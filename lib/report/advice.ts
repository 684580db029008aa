/**
 * What to configure in QEMU. The names of its properties depend on its version: both are named, and how to ask.
 */

/** Advice for the VM that a plan is of. */
export function adviceForQemu(situation: {
  nesting: boolean;
  affected: boolean;
  bypassRo: boolean;
}): string[] {
  const { nesting, affected, bypassRo } = situation;
  if (!nesting) {
    return ["nothing to do: without nested translation, read-only mappings are safe on every host"];
  }
  if (!affected && !bypassRo) return ["nothing to do: this host may nest and map read-only memory"];
  return [
    "- use a QEMU with commit 68d3a2a24d (January 2026) or later: it leaves the sections above out by itself",
    "- if the guest needs no scalable mode, turn it off, and read-only memory stays mapped:",
    "    -device intel-iommu,scalable-mode=off        (older QEMUs: x-scalable-mode=off)",
    '- if it does, boot it with "intel_iommu=on,sm_on": a guest in legacy mode ("intel_iommu=on,sm_off") is not',
    "  supported on such a host, nor is a kexec or reboot from sm_on to sm_off",
    "- nesting is on with scalable-mode=on (older: x-scalable-mode=on) and fsts=on (older: flts=on, x-flts=on);",
    "  which names yours has, it tells: qemu-system-x86_64 -device intel-iommu,help",
  ];
}
