/** ACS, as configuration spaces have it. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findAcs } from "../../lib/host/acs.ts";

/** A configuration space with extended capabilities: id, where, and its first words. */
function config(...capabilities: { id: number; at: number; words?: number[] }[]): Buffer {
  const space = Buffer.alloc(4096);
  for (const [index, { id, at, words = [] }] of capabilities.entries()) {
    const next = capabilities[index + 1]?.at ?? 0;
    space.writeUInt32LE(((next << 20) | (1 << 16) | id) >>> 0, at);
    for (const [word, value] of words.entries()) space.writeUInt16LE(value, at + 4 + 2 * word);
  }
  return space;
}

const AER = { id: 1, at: 0x100 };
const acs = (control: number) => ({ id: 0x0d, at: 0x148, words: [0x5f, control] });

describe("ACS", () => {
  it.each([
    ["on", config(AER, acs(0x1d)), "enabled"],
    ["on, and more than is needed", config(AER, acs(0x5f)), "enabled"],
    ["there, and off", config(AER, acs(0)), "partial"],
    ["there, without upstream forwarding", config(AER, acs(0x0d)), "partial"],
    ["not there", config(AER), "absent"],
    ["of a conventional device", Buffer.alloc(256), "absent"],
    ["not to be seen", Buffer.alloc(64), undefined],
  ])("%s", (_, space, expected) => {
    expect(findAcs(space)).toBe(expected);
  });

  it("a chain that leads in circles, and any other bytes: an end", () => {
    expect(findAcs(config(AER, { id: 2, at: 0x200 }, AER))).toBe("absent");
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4096, size: "max" }), (bytes) => {
        expect(["enabled", "partial", "absent", undefined]).toContain(findAcs(bytes));
      }),
    );
  });
});
