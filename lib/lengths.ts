/** Lengths in bytes, for people. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] as const;

/** A length for people: "768 KiB", "255.75 MiB". Exact: where two decimals are not enough, the unit is smaller. */
export function formatLength(bytes: bigint): string {
  let scale = UNITS.length - 1;
  while (scale > 0 && (bytes < 1024n ** BigInt(scale) || (bytes * 100n) % 1024n ** BigInt(scale) !== 0n))
    scale--;
  const hundredths = Number((bytes * 100n) / 1024n ** BigInt(scale));
  return `${hundredths / 100} ${UNITS[scale]}`;
}
