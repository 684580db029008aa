/**
 * examples/nvme on QEMU's NVMe controller, in a machine of its own (IOMMUFD_TEST_MACHINE=nvme). It reads the data of
 * the host. The kernel's own driver finds all flushed data, whatever was killed. The IOMMU stops DMA to memory that is
 * not mapped. Then boot.js looks at the disks from outside.
 */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { READ } from "../../examples/nvme/commands.ts";
import { openController } from "../../examples/nvme/pci.ts";
import { PROJECT } from "../e2e/command.ts";
import { BDF, bindKernelDriver, bindVfioDriver } from "./nvme-binding.js";
import { contentOf, LENGTH, placesOf } from "./nvme-writes.js";

const SECTOR = 512;
const KILLS = 20;
/** The longest that a victim may go on after it began, in milliseconds. */
const LONGEST = 500;
/** How much is written before each flush by those that are killed. */
const WRITES = 64;
const seed = String(Date.now());

const here = process.env["IOMMUFD_TEST_MACHINE"] === "nvme";
interface Disk {
  readonly id: number;
  readonly length: number;
  readonly blockSize: number;
  readonly sha256: string;
}
const disks = here ? (JSON.parse(readFileSync("/run/out/nvme-before.json", "utf8")) as Disk[]) : [];
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/**
 * The expected content of the disks, by namespace. For the first, the rounds that may have written a place last (-1:
 * none).
 */
const expected = new Map<number, Buffer>();
const rounds = new Map<number, Set<number>>();

/** Starts one that waits to be told to write. */
async function startVictim(round: number, count: number, writes: number) {
  const child = spawn(
    process.execPath,
    ["test/kernel/nvme-victim.js", BDF, seed, ...[round, count, writes].map(String)],
    { cwd: PROJECT, stdio: ["pipe", "pipe", "inherit"] },
  );
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  await lines.next();
  return { child, lines };
}

/** Notes what a victim says, until it has ended. Returns which round it began last, and how many were flushed. */
async function record(lines: AsyncIterator<string>, writes: number, onFlushed = () => {}) {
  let [last, flushed] = [-1, 0];
  const places = (disks[0] as Disk).length / LENGTH;
  for (let line = await lines.next(); !line.done; line = await lines.next()) {
    const [, what, digits] = /^(begun|flushed) (\d+)$/.exec(line.value) ?? [];
    last = Number(digits);
    for (const place of placesOf(seed, last, writes, places)) {
      // From when it began any of its places may have it; once it was flushed, all have.
      const may = what === "begun" ? new Set(rounds.get(place) ?? [-1]) : new Set<number>();
      rounds.set(place, may.add(last));
    }
    if (what === "begun") continue;
    flushed++;
    onFlushed();
  }
  return { last, flushed };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

describe.runIf(here)("a driver in TypeScript for NVMe", () => {
  it("is run by a command", () => {
    const { stdout, stderr } = spawnSync("node", ["examples/nvme/cli.js", "identify", BDF, "--queues", "2"], {
      cwd: PROJECT,
      encoding: "utf8",
    });
    expect(stderr).toBe("");
    expect(stdout.replace(/firmware \S+/, "firmware 7.2.22")).toBe(
      /<!-- shown by test\/kernel\/nvme.test.ts -->\n\n```text\n([^`]*)```/.exec(
        readFileSync(`${PROJECT}docs/driver.md`, "utf8"),
      )?.[1],
    );
  });

  it("reads what the host wrote, all of it, of each namespace, by interrupts and polling", async () => {
    for (const completions of ["interrupts", "polling"] as const) {
      await using controller = await openController(BDF, { completions, queues: 2 });
      expect(await controller.namespaces()).toEqual(disks.map(({ id }) => id));
      for (const disk of disks) {
        const namespace = await controller.namespace(disk.id);
        expect({ length: namespace.blocks * namespace.blockSize, blockSize: namespace.blockSize }).toEqual({
          length: disk.length,
          blockSize: disk.blockSize,
        });
        const bytes = Buffer.alloc(disk.length);
        let at = 0;
        for await (const piece of namespace.read()) {
          bytes.set(piece, at);
          at += piece.length;
        }
        expect(sha256(bytes)).toBe(disk.sha256);
        expected.set(disk.id, bytes);
      }
      expect(controller.resets).toBe(0);
    }
  }, 600_000);

  it("has as many queues as the controller grants, an interrupt each, and works after a reset", async () => {
    await using controller = await openController(BDF, { depth: 4 });
    expect(controller.configuration).toMatchObject({ queues: 64, depth: 4, completions: "interrupts" });
    const namespace = await controller.namespace(2);
    const buffer = await controller.allocate(128 * 4096);
    for (let resets = 0; resets < 3; resets++) {
      await Promise.all(
        Array.from({ length: 128 }, (_, index) => namespace.readBlocks(index, 1, buffer, index * 4096)),
      );
      expect(Buffer.compare(buffer.bytes, expected.get(2)?.subarray(0, 128 * 4096) as Buffer)).toBe(0);
      buffer.bytes.fill(0);
      await controller.reset();
    }
  }, 600_000);

  it("survives a command whose data is not mapped: the IOMMU stops it", async () => {
    await using controller = await openController(BDF, { queues: 1, timeout: 2000 });
    const namespace = await controller.namespace(1);
    const buffer = await controller.allocate(8192);
    buffer.bytes.fill(0xa5);
    const faults = () =>
      spawnSync("dmesg", { encoding: "utf8" })
        .stdout.split("\n")
        .filter((line) => line.includes(`Request device [${BDF}] fault addr 0x3000`));
    const before = faults().length;
    // A page, and pages in a list. QEMU's controller reports success, because it does not know that its writes went
    // nowhere.
    for (const [iova, blocks] of [
      [0x3_0000_0000, 8],
      [0x3_0008_0800, 32],
    ] as const)
      await controller.command({
        opcode: READ,
        namespace: 1,
        data: { iova, length: blocks * 512 },
        words: [0, 0, blocks - 1],
      });
    expect(faults().length).toBeGreaterThan(before);
    expect(controller.resets).toBe(0);
    expect(buffer.bytes.every((byte) => byte === 0xa5)).toBe(true);
    await namespace.readBlocks(0, 16, buffer);
    expect(Buffer.compare(buffer.bytes, expected.get(1)?.subarray(0, 8192) as Buffer)).toBe(0);
  }, 600_000);

  it("writes what comes on standard input, and reads to standard output", () => {
    const disk = expected.get(2) as Buffer;
    const data = Buffer.from(disk.subarray(0, 1 << 20)).reverse();
    const run = (words: string[], input?: Buffer) =>
      spawnSync("node", ["examples/nvme/cli.js", ...words, BDF, "--namespace", "2", "--first", "100"], {
        cwd: PROJECT,
        input,
        maxBuffer: 1 << 24,
      });
    const { status, stderr } = run(["write"], data);
    expect({ status, stderr: stderr.toString() }).toEqual({
      status: 0,
      stderr: "256 blocks of 4096 bytes written from block 100 on, and flushed\n",
    });
    disk.set(data, 100 * 4096);
    expect(
      Buffer.compare(run(["read", "--count", "300"]).stdout, disk.subarray(100 * 4096, 400 * 4096)),
    ).toBe(0);
  }, 600_000);

  it(`writes 64 MiB at random places, 64 at a time, and is killed ${KILLS} times`, async () => {
    const all = (64 << 20) / LENGTH;
    const whole = await startVictim(0, 1, all);
    whole.child.stdin.write("go\n");
    expect(await record(whole.lines, all)).toEqual({ last: 0, flushed: 1 });
    await end(whole.child);
    expect(whole.child.exitCode).toBe(0);
    let round = 1;
    let flushed = 0;
    let waiting = await startVictim(round, 1e9, WRITES);
    for (let kill = 0; kill < KILLS; kill++) {
      const victim = waiting;
      let flush = () => {};
      const first = new Promise<void>((resolve) => {
        flush = resolve;
      });
      const recorded = record(victim.lines, WRITES, flush);
      victim.child.stdin.write("go\n");
      // Every other one has flushed something; the rest may still be opening the controller.
      if (kill % 2 === 0) await Promise.race([first, recorded]);
      await setTimeout(Math.random() * LONGEST);
      victim.child.kill("SIGKILL");
      await end(victim.child);
      const told = await recorded;
      flushed += told.flushed;
      round = Math.max(round, told.last + 1);
      waiting = await startVictim(round, 1e9, WRITES);
    }
    waiting.child.kill();
    await end(waiting.child);
    console.log(`${KILLS} kills, ${flushed} rounds of ${WRITES} writes flushed before them`);
    expect(flushed).toBeGreaterThanOrEqual(KILLS / 2);
  }, 900_000);

  it("leaves what the kernel's own driver reads: nothing flushed is lost, nothing else touched", async () => {
    const devices = await bindKernelDriver(disks.map(({ id }) => id));
    const after = devices.map((device) => readFileSync(device));
    expect(after.map(({ length }) => length)).toEqual(disks.map(({ length }) => length));
    const [first, second] = after as [Buffer, Buffer];
    const original = expected.get(1) as Buffer;
    const wrong: number[] = [];
    let changed = 0;
    for (let place = 0; place < first.length / LENGTH; place++) {
      const at = place * LENGTH;
      const may = [...(rounds.get(place) ?? [-1])].map((round) =>
        round < 0 ? original.subarray(at, at + LENGTH) : contentOf(seed, round, place),
      );
      if (rounds.has(place)) changed++;
      for (let sector = 0; sector < LENGTH; sector += SECTOR) {
        const found = first.subarray(at + sector, at + sector + SECTOR);
        if (!may.some((bytes) => found.equals(bytes.subarray(sector, sector + SECTOR))))
          wrong.push(at + sector);
      }
    }
    expect(wrong).toEqual([]);
    expect(changed).toBeGreaterThan((64 << 20) / LENGTH - 1);
    expect(Buffer.compare(second, expected.get(2) as Buffer)).toBe(0);
    const read = disks.map((disk, index) => ({ ...disk, sha256: sha256(after[index] as Buffer) }));
    writeFileSync("/run/out/nvme-after.json", JSON.stringify(read));
    bindVfioDriver();
  }, 600_000);
});
