/** A QEMU that runs while a test asks it. */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { PROJECT } from "../e2e/command.ts";

/** The QEMUs of scripts/fetch-test-qemu.sh. */
const UNPACKED = join(PROJECT, "build/test/qemu/usr");
const LATEST = join(PROJECT, "build/test/qemu-latest/usr");
const LIBRARIES = `${LATEST}/lib/x86_64-linux-gnu`;

/** A QEMU that is here. */
export interface Qemu {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** "10.0.2" */
  readonly version: string;
}

/** Not fetched for the tests: `scripts/fetch-packages.sh build/test/qemu-latest-arm …` with qemu-system-arm, as that of x86. */
const LATEST_ARM = join(PROJECT, "build/test/qemu-latest-arm/usr/lib/x86_64-linux-gnu");

/**
 * The QEMUs that are here: the one of this machine, the one of its backports, and the one of the next Debian, which has
 * libraries of its own.
 */
export const QEMUS: readonly Qemu[] = [
  { command: "qemu-system-x86_64", args: [], env: {} },
  { command: `${UNPACKED}/bin/qemu-system-x86_64`, args: ["-L", `${UNPACKED}/share/qemu`], env: {} },
  {
    command: `${LIBRARIES}/ld-linux-x86-64.so.2`,
    args: [
      ...["--library-path", LIBRARIES, `${LATEST}/bin/qemu-system-x86_64`],
      ...["-L", `${LATEST}/share/qemu`, "-L", `${LATEST}/share/seabios`],
    ],
    env: { QEMU_MODULE_DIR: `${LIBRARIES}/qemu` },
  },
].flatMap(withVersion);

/** That of Arm, where it is here. */
export const QEMU_ARM: Qemu | undefined = withVersion({
  command: `${LATEST_ARM}/ld-linux-x86-64.so.2`,
  args: ["--library-path", LATEST_ARM, `${LATEST_ARM}/../../bin/qemu-system-aarch64`],
  env: { QEMU_MODULE_DIR: `${LATEST_ARM}/qemu` },
})[0];

function withVersion(qemu: Omit<Qemu, "version">): Qemu[] {
  const { stdout } = spawnSync(qemu.command, [...qemu.args, "--version"], { encoding: "utf8" });
  const version = stdout?.match(/version ([\d.]+)/)?.[1];
  return version === undefined ? [] : [{ ...qemu, version }];
}

/** A VM that is stopped before its first instruction. */
export class RunningQemu implements AsyncDisposable {
  readonly process: ChildProcess;
  /** Path of its QMP socket. */
  readonly socket: string;
  readonly #directory: string;

  private constructor({ command, args, env }: Qemu, options: readonly string[]) {
    this.#directory = mkdtempSync(join(tmpdir(), "iommufd-qemu-"));
    this.socket = join(this.#directory, "qmp");
    this.process = spawn(
      command,
      [
        ...[...args, "-accel", "tcg", "-nodefaults", "-display", "none", "-S"],
        ...["-qmp", `unix:${this.socket},server=on,wait=off`, ...options],
      ],
      { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, ...env } },
    );
  }

  /** Starts one; resolves when it listens. */
  static async start(qemu: Qemu, ...options: string[]): Promise<RunningQemu> {
    const vm = new RunningQemu(qemu, options);
    while (!(await greets(vm.socket))) {
      if (vm.process.exitCode !== null) throw new Error(`QEMU ended: ${vm.process.exitCode}`);
      await setTimeout(20);
    }
    return vm;
  }

  /** Stops the process; resolves when all of its threads have stopped. */
  async freeze(): Promise<void> {
    const { pid } = this.process;
    this.process.kill("SIGSTOP");
    const isRunning = (thread: string) =>
      !readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8").includes(") T ");
    while (readdirSync(`/proc/${pid}/task`).some(isRunning)) await setTimeout(5);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { process } = this;
    if (process.exitCode === null && process.signalCode === null) {
      process.kill("SIGKILL");
      await once(process, "exit");
    }
    rmSync(this.#directory, { recursive: true });
  }
}

/** Whether it greets: the socket is there for a moment before anybody listens. */
async function greets(path: string): Promise<boolean> {
  const socket = createConnection(path);
  try {
    await once(socket, "data");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
