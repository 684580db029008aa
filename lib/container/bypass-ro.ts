/**
 * Whether read-only sections are left out, and why: the decision as a sentence for people.
 */

import type { HostIommuQuirk } from "./quirks.ts";

/** `auto` follows the hardware; `on` and `off` are set by hand. */
export type BypassRoSetting = "auto" | "on" | "off";

/** What the decision depends on. */
export interface BypassRoInput {
  /** Whether nested translation is wanted. */
  readonly nesting: boolean;
  /** Default `auto`. */
  readonly setting?: BypassRoSetting | undefined;
  /** The quirks of the host IOMMU; undefined where it was not asked. */
  readonly quirks?: readonly HostIommuQuirk[] | undefined;
}

/** The decision. */
export interface BypassRoDecision {
  /** Whether read-only sections are left out. */
  readonly bypassRo: boolean;
  /** Why, in one sentence. */
  readonly reason: string;
}

/**
 * Decides it as {@link Container.addDevice} does, and says why: what ERRATA_772415_SPR17 asks of system software (Sapphire
 * Rapids specification update), as QEMU does it since commit 68d3a2a24d.
 */
export function decideBypassRo({ nesting, setting = "auto", quirks }: BypassRoInput): BypassRoDecision {
  const affected = quirks?.includes("NESTING_PARENT_BYPASS_RO") ?? false;
  if (setting === "on") return { bypassRo: true, reason: "set by hand" };
  if (setting === "off") {
    return {
      bypassRo: false,
      reason:
        nesting && affected
          ? "set by hand, although the IOMMU reports ERRATA_772415_SPR17: the kernel will refuse read-only mappings on the nest parent"
          : "set by hand",
    };
  }
  if (!nesting) return { bypassRo: false, reason: "nesting is not wanted, so there is no nest parent" };
  return affected
    ? {
        bypassRo: true,
        reason:
          "nesting is wanted and the IOMMU reports ERRATA_772415_SPR17: its nest parent must have no read-only mapping",
      }
    : { bypassRo: false, reason: "nesting is wanted and the IOMMU does not report ERRATA_772415_SPR17" };
}
