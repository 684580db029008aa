/** However a program ends that has mappings, and whatever it is short of: the next one finds the device free. */

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, closeSync, openSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Iommufd, type Region } from "../../lib/index.ts";
import { FIRST } from "../conformance/backend.ts";
import { atFixedTime, MAIN, PROJECT } from "../e2e/command.ts";
import { sectionList } from "../section-list.ts";

const VICTIM = `${PROJECT}test/kernel/victim.js`;
/** Runs it in the place of the shell; its crash is meant, and leaves no backtrace (backtrace.cc). */
const ON_PURPOSE = `ulimit -c 0 && exec '${process.execPath}' "$@"`;

/** A device that can be bound is one that nobody else has. */
function expectFree(): void {
  using iommufd = Iommufd.open({ backend: "kernel" });
  using device = iommufd.openDevice(FIRST);
  const ioas = iommufd.allocIoas();
  device.attachSync(ioas);
  const memory = iommufd.allocMemory(4096n);
  expect(ioas.mapSync(memory, { iova: 0n })).toBe(0n);
}

describe("a program with mappings that ends", () => {
  it.each<[string, number | null, NodeJS.Signals | null]>([
    ["exit", 7, null],
    ["throw", 1, null],
    ["abort", null, "SIGABRT"],
    ["worker", 0, null],
  ])("by %s leaves the device free", (how, status, signal) => {
    const ended = spawnSync("sh", ["-c", ON_PURPOSE, "sh", VICTIM, FIRST, how], { encoding: "utf8" });
    expect(ended).toMatchObject({ status, signal });
    expectFree();
  });

  it.each(["SIGKILL", "SIGSEGV"] as const)("by %s leaves the device free", async (signal) => {
    const victim = spawn("sh", ["-c", ON_PURPOSE, "sh", VICTIM, FIRST, "loop"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    await once(victim.stdout, "data");
    victim.kill(signal);
    await once(victim, "exit");
    expectFree();
  });
});

describe("descriptors", () => {
  it("there are no more of: EMFILE, and all works again afterwards", () => {
    using iommufd = Iommufd.open({ backend: "kernel" });
    const taken: number[] = [];
    const emfile = expect.objectContaining({ code: "EMFILE" });
    try {
      for (;;) taken.push(openSync("/dev/null", "r"));
    } catch (error) {
      expect(error).toEqual(emfile);
    }
    try {
      expect(() => Iommufd.open({ backend: "kernel" })).toThrow(/EMFILE/);
      expect(() => iommufd.openDevice(FIRST)).toThrow(emfile);
      expect(() => iommufd.allocMemory(4096n)).toThrow(emfile);
      expect(() => iommufd.allocFaultQueue()).toThrow(emfile);
    } finally {
      for (const fd of taken) closeSync(fd);
    }
    expect(iommufd.allocIoas().id).toBe(1);
    iommufd.close();
    expectFree();
  });

  it("are closed once: closing twice, and what is closed already", () => {
    const iommufd = Iommufd.open({ backend: "kernel" });
    const device = iommufd.openDevice(FIRST);
    const region: Region = device.region(0);
    const memory = iommufd.allocMemory(4096n);
    const { fd } = iommufd;
    for (let times = 0; times < 2; times++) for (const each of [iommufd, device, memory]) each.close();
    // The number is free, and what it is given to next is not closed by us.
    const other = openSync("/dev/null", "r");
    for (const each of [iommufd, device, memory]) each.close();
    expect(() => region.read(0n, 4)).toThrow(expect.objectContaining({ code: "ERR_IOMMUFD_CLOSED" }));
    expect(() => statSync(`/proc/self/fd/${other}`)).not.toThrow();
    closeSync(other);
    expect(fd).toBeGreaterThan(2);
    expectFree();
  });
});

describe("a user who is not root, and owns the files", () => {
  const FILES = ["/dev/iommu", "/dev/vfio/devices/vfio0"];
  const USER = { uid: 1234, gid: 1234 };
  const as = (...args: string[]) =>
    spawnSync(process.execPath, [MAIN, ...args], { ...USER, encoding: "utf8", cwd: PROJECT });
  /** A guest of so many bytes. */
  const guest = (length: bigint) => {
    const last = `0x${(length - 1n).toString(16)}`;
    const file = `/run/tmp/guest-${length}.json`;
    writeFileSync(file, sectionList({ start: "0x0", last, region: "ram" }));
    return file;
  };

  beforeAll(() => {
    chmodSync("/run/tmp", 0o755);
    for (const path of FILES) chownSync(path, USER.uid, USER.gid);
  });
  afterAll(() => {
    for (const path of FILES) chownSync(path, 0, 0);
  });

  it("probes, and gives what root is given", () => {
    const asRoot = spawnSync(process.execPath, [MAIN, "probe", FIRST], { encoding: "utf8", cwd: PROJECT });
    const asUser = as("probe", FIRST);
    expect(asUser.status).toBe(0);
    expect(atFixedTime(asUser.stdout)).toBe(atFixedTime(asRoot.stdout));
    expect(asRoot.stdout).toContain("reported");
  });

  it("maps as much as may be locked, and is told where that is too little", () => {
    const limit = BigInt(
      /^Max locked memory +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? 0,
    );
    expect(limit).toBeGreaterThan(4096n);
    const fits = as("check", guest(limit / 2n), "--device", FIRST);
    expect(fits).toMatchObject({ status: 0, stdout: expect.stringContaining("accepted: 1 mapping on") });
    const tooMuch = as("check", guest(limit * 4n), "--device", FIRST);
    expect(tooMuch).toMatchObject({
      status: 3,
      stdout: expect.stringContaining("(RLIMIT_MEMLOCK), which is too low"),
    });
  });

  it("is refused the device of somebody else", () => {
    expect(as("probe", "0000:00:02.0")).toMatchObject({
      status: 1,
      stdout: expect.stringContaining("EACCES"),
    });
  });
});
