/**
 * Known errata of host IOMMUs: the rules that follow for those who map memory behind them, and whether read-only sections
 * are left out for one.
 */

import { checkOptions, knownOptions } from "../arguments.ts";
import { invalidType, outOfRange } from "../errors.ts";
import { reportsErratum772415 } from "../hw-info/vtd.ts";
import type { HwInfo } from "../uapi.ts";

/** A rule that a host IOMMU imposes. */
export type HostIommuQuirk =
  /**
   * No read-only mapping may be in a nest parent. With nested translation the IOMMU may set Accessed and Dirty
   * bits in first-stage page tables that the second stage maps read-only (ERRATA_772415_SPR17).
   */
  "NESTING_PARENT_BYPASS_RO";

const BYPASS_RO: HostIommuQuirk = "NESTING_PARENT_BYPASS_RO";

/**
 * The quirks that follow from hardware information.
 *
 * The rule is QEMU's (commit 68d3a2a24d): the type is INTEL_VTD, the data is at least a whole struct
 * iommu_hw_info_vtd (24 bytes), and its flag ERRATA_772415_SPR17 is set. Shorter data, or data of another type, shows
 * no quirk. Shorter data of VT-d does not mean that there is none: {@link decodeHwInfo} then has `erratum772415: undefined`, and
 * {@link decideBypassRo} is to be asked without quirks.
 *
 * @param type enum iommu_hw_info_type
 * @param data the vendor's structure
 */
export function hostIommuQuirks(type: number, data: Uint8Array): HostIommuQuirk[] {
  return reportsErratum772415({ type, data }) ? [BYPASS_RO] : [];
}

/**
 * {@link hostIommuQuirks} for a decision: undefined if the IOMMU gave too little data, as if nobody had asked it.
 */
export function quirksForDecision(info: Pick<HwInfo, "type" | "data">): HostIommuQuirk[] | undefined {
  return reportsErratum772415(info) === undefined ? undefined : hostIommuQuirks(info.type, info.data);
}

/** `auto` follows the hardware; `on` and `off` are set by hand. */
export type BypassRoSetting = "auto" | "on" | "off";

/** Checks a setting; the default is `auto`. */
export function checkBypassRoSetting(setting: BypassRoSetting = "auto", name = "setting"): BypassRoSetting {
  if (setting !== "auto" && setting !== "on" && setting !== "off")
    throw outOfRange(name, '"auto", "on" or "off"', setting);
  return setting;
}

/** The facts that the decision depends on. */
export interface BypassRoInput {
  /** Whether nested translation is wanted. */
  readonly nesting: boolean;
  /** Default `auto`. */
  readonly setting?: BypassRoSetting | undefined;
  /** The quirks of the host IOMMU; undefined if it was not asked, or gave too little data. */
  readonly quirks?: readonly HostIommuQuirk[] | undefined;
}

const BYPASS_RO_INPUT = knownOptions<BypassRoInput>({
  nesting: "boolean",
  setting: "other",
  quirks: "other",
});

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
 *
 * An IOMMU of which nothing is known may have the erratum: where nesting is wanted and there are no `quirks`, `auto` leaves
 * read-only sections out. `quirks: []` is an IOMMU that was asked, and has none.
 *
 * @throws TypeError ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE; RangeError ERR_OUT_OF_RANGE: the value is not a
 * setting, or a quirk is not one of {@link HostIommuQuirk}
 */
export function decideBypassRo(input: BypassRoInput): BypassRoDecision {
  const { nesting, quirks } = checkOptions(input, BYPASS_RO_INPUT);
  if (typeof nesting !== "boolean") throw invalidType("nesting", "a boolean", nesting);
  if (quirks !== undefined && !Array.isArray(quirks)) throw invalidType("quirks", "an array", quirks);
  // One that is misspelt would pass for an IOMMU that was asked, and has none.
  const unknown = quirks?.filter((quirk) => quirk !== BYPASS_RO) ?? [];
  if (unknown.length > 0) throw outOfRange("quirks", `an array of "${BYPASS_RO}"`, unknown);
  const setting = checkBypassRoSetting(input.setting);
  const affected = quirks?.includes(BYPASS_RO) ?? false;
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
  if (quirks === undefined) {
    return {
      bypassRo: true,
      reason:
        "nesting is wanted and it is not known whether the IOMMU has ERRATA_772415_SPR17: it may have it",
    };
  }
  return affected
    ? {
        bypassRo: true,
        reason:
          "nesting is wanted and the IOMMU reports ERRATA_772415_SPR17: its nest parent must have no read-only mapping",
      }
    : { bypassRo: false, reason: "nesting is wanted and the IOMMU does not report ERRATA_772415_SPR17" };
}
