/** Lengths for people. */

import fc from "fast-check";
import { expect, it } from "vitest";
import { formatLength } from "../../lib/lengths.ts";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

it("is exact, with two decimals at most, in the largest unit that allows it", () => {
  const bytes = fc.tuple(fc.bigInt({ min: 0n, max: 1n << 20n }), fc.nat({ max: 44 }));
  fc.assert(
    fc.property(bytes, ([factor, shift]) => {
      const length = factor << BigInt(shift);
      const [, whole = "", decimals = "", unit = ""] =
        /^(\d+)(?:\.(\d\d?))? (\w+)$/.exec(formatLength(length)) ?? [];
      const hundredths = BigInt(whole) * 100n + BigInt(decimals.padEnd(2, "0"));
      const scale = BigInt(UNITS.indexOf(unit));
      expect(hundredths * 1024n ** scale).toBe(length * 100n);
      const larger = 1024n ** (scale + 1n);
      expect(scale < 6n && length >= larger && (length * 100n) % larger === 0n).toBe(false);
    }),
    { numRuns: 2000 },
  );
});
