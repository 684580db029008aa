/** ACS, as configuration spaces have it. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findAcs } from "../../lib/host/acs.ts";

/** A root port's configuration space with extended capabilities: id, where, and its first words. */
function config(...capabilities: { id: number; at: number; words?: number[] }[]): Buffer {
  return express(4, ...capabilities);
}

/** The same of a PCI Express function of any type. */
function express(type: number, ...capabilities: { id: number; at: number; words?: number[] }[]): Buffer {
  const space = Buffer.alloc(4096);
  // The device has standard capabilities: power management, then PCI Express.
  space.writeUInt16LE(0x10, 6);
  space.writeUInt8(0x40, 0x34);
  space.writeUInt16LE(0x5001, 0x40);
  space.writeUInt16LE(0x0010, 0x50);
  space.writeUInt16LE(type << 4, 0x52);
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
    ["of a conventional device", Buffer.alloc(256), "conventional"],
    ["of a bridge to conventional PCI", express(7, AER, acs(0x1d)), "conventional"],
    ["of a bridge from conventional PCI", express(8, AER, acs(0x1d)), "conventional"],
    ["not to be seen", Buffer.alloc(64), undefined],
  ])("%s", (_, space, expected) => {
    expect(findAcs(space)).toBe(expected);
  });

  it("a chain that leads in circles, and any other bytes: an end", () => {
    const circle = config();
    circle.writeUInt16LE(0x4001, 0x40);
    expect(findAcs(circle)).toBe("conventional");
    expect(findAcs(config(AER, { id: 2, at: 0x200 }, AER))).toBe("absent");
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4096, size: "max" }), (bytes) => {
        expect(["enabled", "partial", "absent", "conventional", undefined]).toContain(findAcs(bytes));
      }),
    );
  });
});
