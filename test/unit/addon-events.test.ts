/** The addon's files for events: eventfds, and what reads like the queues of an iommufd. */

import { spawnSync } from "node:child_process";
import { existsSync, writeSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import {
  loadAddon,
  type NativeEventFile,
  type NativeVfioDeviceFile,
} from "../../lib/backend/kernel/addon.ts";

const ADDON = fileURLToPath(new URL("../../build/Release/iommufd.node", import.meta.url));
const EAGAIN = -11;
const EEXIST = -17;
const EINVAL = -22;

describe.runIf(process.platform === "linux")("files of events, in the addon", () => {
  const addon = loadAddon();
  const create = () => addon.createEventFd() as NativeEventFile;
  const signal = (file: NativeEventFile, count = 1n) => writeSync(file.fd(), new BigUint64Array([count]));

  it("are counted until they are read", () => {
    const file = create();
    expect(file.readCount()).toBe(0n);
    signal(file, 2n);
    signal(file);
    expect(file.readCount()).toBe(3n);
    expect(file.readCount()).toBe(0n);
  });

  it("end a wait; so does closing", async () => {
    const file = create();
    const wait = file.readable();
    expect(file.readable(), "one wait at a time").toBe(EEXIST);
    signal(file);
    await expect(wait).resolves.toBe(true);
    await expect(file.readable()).resolves.toBe(true);
    file.readCount();
    const cancelled = file.readable();
    file.close();
    file.close();
    await expect(cancelled).resolves.toBe(false);
    expect(() => file.readable()).toThrow(expect.objectContaining({ code: "ERR_IOMMUFD_CLOSED" }));
    expect(() => file.fd()).toThrow("EventFile is closed");
  });

  it("keep a file that is waited for, whoever else lets go of it", async () => {
    let file: NativeEventFile | undefined = create();
    const fd = file.fd();
    const wait = file.readable();
    file = undefined;
    globalThis.gc?.();
    await setTimeout(10);
    globalThis.gc?.();
    writeSync(fd, new BigUint64Array([1n]));
    await expect(wait).resolves.toBe(true);
  });

  it("go with their object, although the event loop has had them", async () => {
    const wait = async () => {
      const file = create();
      signal(file);
      expect(await file.readable()).toBe(true);
      return file.fd();
    };
    const fds = await Promise.all(Array.from({ length: 20 }, wait));
    const open = () => fds.filter((fd) => existsSync(`/proc/self/fd/${fd}`)).length;
    expect(open()).toBe(20);
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    for (let round = 0; round < 20 && open() > 10; round++) {
      collect();
      await setTimeout(10);
    }
    // Some may still be on the stack, and numbers be others' by now.
    expect(open()).toBeLessThanOrEqual(10);
  });

  it("are told of again, as long as they are not read", async () => {
    const file = create();
    signal(file);
    for (let round = 0; round < 3; round++) {
      await expect(file.readable()).resolves.toBe(true);
      // Meanwhile the event loop turns, with nobody who waits.
      await setTimeout(round);
    }
    file.readCount();
    const wait = file.readable();
    await expect(Promise.race([wait, setTimeout(10, "nothing")])).resolves.toBe("nothing");
    signal(file);
    await expect(wait).resolves.toBe(true);
    file.close();
  });

  it("keep a program for as long as it waits only, and never wake it twice for what nobody waits for", () => {
    const script = `
      const addon = require(${JSON.stringify(ADDON)});
      const { performance } = require("node:perf_hooks");
      const { writeSync } = require("node:fs");
      const file = addon.createEventFd();
      setTimeout(() => writeSync(file.fd(), new BigUint64Array([1n])), 10);
      file.readable().then((ready) => {
        // It stays readable.
        const before = performance.nodeTiming.uvMetricsInfo?.loopCount;
        setTimeout(() => {
          const turns = performance.nodeTiming.uvMetricsInfo?.loopCount - before;
          if (turns > 10) console.log("the event loop turned", turns, "times");
          console.log(ready);
        }, 100);
      });`;
    const { status, stdout, stderr } = spawnSync(process.execPath, ["-e", script], { encoding: "utf8" });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "true\n", stderr: "" });
  });

  it("end no process when somebody else has closed their descriptor, between two waits too", () => {
    const script = `
      const addon = require(${JSON.stringify(ADDON)});
      const { closeSync, openSync, writeSync } = require("node:fs");
      (async () => {
        const file = addon.createEventFd();
        writeSync(file.fd(), new BigUint64Array([1n]));
        await file.readable();
        // The event loop is told once more, and then not asked again.
        await new Promise((resolve) => setTimeout(resolve, 20));
        closeSync(file.fd());
        console.log(file.readable());
        // A file that cannot be waited for gets the number.
        if (openSync("/proc/self/status") === file.fd() || openSync(process.execPath) === file.fd())
          console.log(file.readable());
      })();`;
    const { status, stdout, stderr } = spawnSync(process.execPath, ["-e", script], { encoding: "utf8" });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/^-9\n(-1\n)?$/);
  });

  it("are not waited for, or read, where that is not to be", () => {
    const file = create();
    expect(file.readFaults(1)).toBe(EAGAIN);
    expect(file.respondToFault(1, 0)).toBeUndefined();
    // Those 8 bytes read as a header that says that events were lost; with 2 in place of 1, as one of an event.
    expect(file.readEvents(4, 1)).toEqual([{ flags: 1, sequence: 0, data: new Uint8Array(0) }]);
    signal(file, 2n);
    expect(file.readEvents(4, 1)).toBe(EINVAL);
    for (const refused of [
      () => file.readFaults(0),
      () => file.readFaults(65537),
      () => file.readEvents(4097, 1),
      () => file.readEvents(0, 0),
      () => file.respondToFault(-1, 0),
      () => addon.createEventFd.call(undefined) && file.readEvents.call({} as never, 0, 1),
    ])
      expect(refused).toThrow();
  });

  it("are given to interrupts as what they are only", () => {
    const device = addon.openVfioDevice("/dev/null") as NativeVfioDeviceFile;
    const file = create();
    expect(() => device.setIrqs(0, 1 << 5, 0, 1, [addon.allocMemory(4096n, 4096n, false) as never])).toThrow(
      "eventfds must be an EventFile, received an object",
    );
    expect(() => device.setIrqs(0, 1 << 5, 0, 2, [file])).toThrow("eventfds must be as many as count");
    expect(() => device.setIrqs(0, 5, 0, 1, [file])).toThrow("action must be one of VFIO_IRQ_SET_ACTION_*");
    expect(() => device.setIrqs(0, 1 << 5, 0, 1, file as never)).toThrow("eventfds must be an array");
    file.close();
    expect(() => device.setIrqs(0, 1 << 5, 0, 1, [file])).toThrow("EventFile is closed");
  });
});
