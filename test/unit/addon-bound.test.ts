/** The addon's objects as functions and as arguments: by what they are found faster than by the object itself. */

import { fstatSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { types } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { loadAddon, type NativeIommufdFile, type NativeMemory } from "../../lib/backend/kernel/addon.ts";

const ENOTTY = -25;

/** Collects what nobody has, and lets it be finalized. */
async function collectGarbage(): Promise<void> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  for (let round = 0; round < 3; round++) {
    await setTimeout(5);
    collect();
  }
  await setTimeout(5);
}

describe.runIf(process.platform === "linux")("an object of the addon", () => {
  const addon = loadAddon();
  const iommufd = addon.openIommufd("/dev/null") as NativeIommufdFile;
  const memory = addon.allocMemory(8192n, 4096n, false) as NativeMemory;

  it("has its methods as functions too, each of which knows its object and keeps it", async () => {
    const names = (object: object) => Object.getOwnPropertyNames(Object.getPrototypeOf(object));
    const { destroy, ioasMap, fd, close, ...others } = (
      addon.openIommufd("/dev/null") as NativeIommufdFile
    ).bound();
    expect([...Object.keys({ destroy, ioasMap, fd, close, ...others })].sort()).toEqual(
      names(iommufd)
        .filter((name) => name !== "bound" && name !== "constructor")
        .sort(),
    );
    await collectGarbage();
    expect(destroy(1)).toBe(ENOTTY);
    expect(destroy.call(memory as never, 1)).toBe(ENOTTY);
    expect(await ioasMap(1, 7, memory, 0n, 8192n, 0n)).toBe(ENOTTY);
    expect(() => destroy(-1)).toThrow("id must be an integer from 0 to 4294967295, received -1");
    // The object cannot be taken away from it.
    const own = Object.getOwnPropertyDescriptor(destroy, "of");
    expect(own).toMatchObject({ configurable: false, writable: false, enumerable: false });
    expect(Reflect.set(destroy, "of", undefined)).toBe(false);
    expect(Reflect.deleteProperty(destroy, "of")).toBe(false);
    expect(fstatSync(fd()).isCharacterDevice()).toBe(true);
    close();
    expect(() => destroy(1)).toThrow(expect.objectContaining({ code: "ERR_IOMMUFD_CLOSED" }));
  });

  it("takes the token of a memory for the memory, for as long as that is there", async () => {
    const made = addon.allocMemory(8192n, 4096n, false) as NativeMemory;
    const token = made.token();
    expect(types.isExternal(token)).toBe(true);
    expect(iommufd.ioasMapSync(1, 7, token, 0n, 8192n, 0n)).toBe(ENOTTY);
    expect(await iommufd.ioasMap(1, 7, token, 0n, 8192n, 0n)).toBe(ENOTTY);
    expect(() => iommufd.ioasMapSync(1, 7, token, 0n, 8193n, 0n)).toThrow("length must be within the memory");
    made.close();
    expect(() => iommufd.ioasMapSync(1, 7, token, 0n, 8192n, 0n)).toThrow("DmaMemory is closed");
    const stale = await Promise.all(
      Array.from({ length: 20 }, async () =>
        (addon.allocMemory(4096n, 4096n, false) as NativeMemory).token(),
      ),
    );
    await collectGarbage();
    const refusals = stale.filter((gone) => {
      try {
        return iommufd.ioasMapSync(1, 7, gone, 0n, 4096n, 0n) !== ENOTTY;
      } catch (error) {
        return (error as Error).message === "memory must be a DmaMemory, received an object";
      }
    });
    expect(refusals.length).toBeGreaterThan(0);
  });
});
