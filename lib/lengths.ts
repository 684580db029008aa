/** Lengths in bytes, for people. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] as const;

/** A length for people: "768 KiB", "255.75 MiB". Exact: where two decimals are not enough, the unit is smaller. */
export function formatLength(bytes: bigint): string {
  return bytes < LARGEST_NUMBER ? formatNumber(Number(bytes)) : formatBigInt(bytes);
}

/** Hundredths of less than this many bytes are exact as a number. */
const LARGEST_NUMBER = 1n << 46n;

/** How long the units below {@link LARGEST_NUMBER} are. */
const NUMBER_UNITS = [0, 1, 2, 3, 4].map((scale) => 1024 ** scale);

/** As {@link formatBigInt}, ten times as fast: most lengths are like that. */
function formatNumber(bytes: number): string {
  let scale = NUMBER_UNITS.length - 1;
  // A quotient by a power of two is exact.
  const hundredths = () => (bytes * 100) / (NUMBER_UNITS[scale] as number);
  while (scale > 0 && (bytes < (NUMBER_UNITS[scale] as number) || !Number.isInteger(hundredths()))) scale--;
  return `${hundredths() / 100} ${UNITS[scale]}`;
}

function formatBigInt(bytes: bigint): string {
  let scale = UNITS.length - 1;
  while (scale > 0 && (bytes < 1024n ** BigInt(scale) || (bytes * 100n) % 1024n ** BigInt(scale) !== 0n))
    scale--;
  const hundredths = Number((bytes * 100n) / 1024n ** BigInt(scale));
  return `${hundredths / 100} ${UNITS[scale]}`;
}
