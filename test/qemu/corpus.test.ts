/**
 * The machines of the corpus, on the QEMUs that are here: the plan of each against what QEMU's own VFIO listener maps
 * for a device without hardware (vfio-user-device.ts).
 *
 * IOMMUFD_TEST_CAPTURE=1 writes the captures of test/fixtures/qemu-corpus anew.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { plan } from "../../lib/index.ts";
import { type Answer, Monitor } from "../../lib/memory-map/monitor.ts";
import { QmpClient } from "../../lib/memory-map/qmp-client.ts";
import { askMonitor } from "../../lib/memory-map/running-qemu.ts";
import { askCapture, type Capture, CORPUS, commandKey } from "../fixtures/corpus.ts";
import { isHere, MACHINES, type Machine } from "./machines.ts";
import { QEMU_ARM, QEMUS, type Qemu, RunningQemu } from "./running-qemu.ts";
import { VfioUserDevice } from "./vfio-user-device.ts";

const IS_CAPTURING = process.env["IOMMUFD_TEST_CAPTURE"] === "1";
/** Since which release QEMU has vfio-user-pci. */
const VFIO_USER = 10.1;

/** Passes commands on, and writes the answers down. */
class Recorder extends Monitor {
  readonly #monitor: Monitor;
  readonly answers: Record<string, Answer> = {};

  constructor(monitor: Monitor) {
    super(monitor.name, {});
    this.#monitor = monitor;
  }

  [Symbol.dispose](): void {}

  protected override async exchange(command: string, args: object): Promise<Answer> {
    const answer = await this.#pass(command, args);
    this.answers[commandKey(command, args)] = answer;
    return answer;
  }

  async #pass(command: string, args: object): Promise<Answer> {
    try {
      return { return: await this.#monitor.ask(command, args, z.unknown()) };
    } catch (error) {
      const { cause } = error as { cause?: { class: string; desc: string } };
      if (cause?.class === undefined) throw error;
      return { error: cause };
    }
  }
}

function qemuOf({ qemu: { major, arm } }: Machine): Qemu | undefined {
  if (arm) return QEMU_ARM;
  return QEMUS.find(({ version }) => Number.parseInt(version, 10) === major);
}

/** Writes to the machine's ports; resolves when QEMU has answered each. */
async function write(path: string, lines: readonly string[]): Promise<void> {
  const socket = createConnection(path);
  let answered = "";
  socket.on("data", (data) => {
    answered += data;
  });
  socket.write(lines.map((line) => `${line}\n`).join(""));
  await vi.waitFor(() => expect(answered.match(/^OK/gm)).toHaveLength(lines.length), 10_000);
  socket.destroy();
}

async function startTpm(directory: string): Promise<ChildProcess> {
  const path = join(directory, "tpm");
  const tpm = spawn("swtpm", [
    "socket",
    "--tpm2",
    "--tpmstate",
    `dir=${directory}`,
    "--ctrl",
    `type=unixio,path=${path}`,
  ]);
  while (!existsSync(path)) await setTimeout(20);
  return tpm;
}

/** Starts a machine, lets it run, asks it, and what its listener has mapped by then. */
async function capture(machine: Machine, qemu: Qemu): Promise<Capture> {
  const directory = mkdtempSync(join(tmpdir(), "iommufd-corpus-"));
  const tpm = machine.tpm ? await startTpm(directory) : undefined;
  try {
    for (const name of machine.makes ?? []) {
      writeFileSync(join(directory, name), "");
      truncateSync(join(directory, name), 16 << 20);
    }
    const hasVfioUser = Number.parseFloat(qemu.version) >= VFIO_USER;
    const path = join(directory, "vfio-user");
    await using device = hasVfioUser ? await VfioUserDevice.listen(path) : undefined;
    const options = machine.options(directory);
    await using vm = await RunningQemu.start(
      qemu,
      ...options,
      ...(hasVfioUser
        ? ["-device", JSON.stringify({ driver: "vfio-user-pci", socket: { type: "unix", path } })]
        : []),
      ...(machine.writes
        ? ["-qtest", `unix:${directory}/qtest,server=on,wait=off`, "-qtest-log", "none"]
        : []),
    );
    if (machine.writes) await write(join(directory, "qtest"), machine.writes);
    using client = await QmpClient.connect(vm.socket);
    if (machine.runs !== undefined) {
      await client.ask("cont", {}, z.unknown());
      await setTimeout(machine.runs * 1000);
      await client.ask("stop", {}, z.unknown());
    }
    const recorder = new Recorder(client);
    await askMonitor(recorder, "memory");
    const mtree = await client.ask("human-monitor-command", { "command-line": "info mtree -f" }, z.string());
    // The requests of the listener arrive by another socket.
    await setTimeout(500);
    return {
      qemu: qemu.version,
      options: options.map((option) => option.replaceAll(directory, "DIRECTORY")),
      answers: recorder.answers,
      mtree,
      mapped:
        device?.mapped().map(({ iova, length, readonly }) => ({
          iova: `0x${iova.toString(16)}`,
          length: `0x${length.toString(16)}`,
          readonly,
        })) ?? null,
    };
  } finally {
    tpm?.kill();
    rmSync(directory, { recursive: true });
  }
}

describe.each(MACHINES.map((machine) => [machine.name, machine] as const))("%s", (name, machine) => {
  const qemu = qemuOf(machine);
  const isPossible = qemu !== undefined && isHere(machine) && (!machine.tpm || existsSync("/usr/bin/swtpm"));

  it.runIf(isPossible && (IS_CAPTURING || machine.runs === undefined))(
    "is planned as QEMU maps it",
    async () => {
      const captured = await capture(machine, qemu as Qemu);
      if (IS_CAPTURING)
        writeFileSync(new URL(`${name}.json`, CORPUS), `${JSON.stringify(captured, null, 1)}\n`);
      const { sections, virtioMem } = await askCapture(name, captured);
      if (captured.mapped === null) return;
      // QEMU maps the plugged part of virtio-mem, which is nothing yet.
      const { map } = plan(sections.filter(({ start }) => virtioMem.every((each) => each.start !== start)));
      expect(
        map.map(({ iova, length, readonly }) => ({
          iova: `0x${iova.toString(16)}`,
          length: `0x${length.toString(16)}`,
          readonly,
        })),
      ).toEqual(captured.mapped);
    },
  );
});
