/** PCI addresses: domain, bus, device, function. */

import { invalidType, outOfRange } from "./errors.ts";

/** A PCI address in full, as sysfs writes it. */
export const BDF_PATTERN = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/;

/**
 * The PCI address in full: "6A:01.0" becomes "0000:6a:01.0".
 *
 * @throws RangeError ERR_OUT_OF_RANGE if it is none
 */
export function normalizeBdf(bdf: string): string {
  if (typeof bdf !== "string") throw invalidType("bdf", "a PCI address", bdf);
  const lower = bdf.toLowerCase();
  const full = /^[0-9a-f]{2}:/.test(lower) ? `0000:${lower}` : lower;
  if (!BDF_PATTERN.test(full)) throw outOfRange("bdf", 'a PCI address such as "0000:6a:01.0"', bdf);
  return full;
}
