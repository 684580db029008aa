/** A libvirt of this test's own, of an ordinary user, with a domain that runs. */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";

/** libvirt as root is that of the machine; as another user it is one of its own. */
const NOBODY = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};

/** Whether there is a libvirt to start. */
export const HAS_LIBVIRT = spawnSync("libvirtd", ["--version"]).status === 0;

/** A daemon of libvirt, and a domain that is stopped before its first instruction. */
export class RunningLibvirt implements AsyncDisposable {
  readonly #directory: string;
  readonly #daemon: ChildProcess;
  /** For LIBVIRT_DEFAULT_URI. */
  readonly uri: string;

  private constructor() {
    this.#directory = mkdtempSync(join(tmpdir(), "iommufd-libvirt-"));
    if (NOBODY.uid !== undefined) chownSync(this.#directory, NOBODY.uid, NOBODY.gid);
    this.uri = `qemu:///session?socket=${this.#socket}`;
    this.#daemon = spawn("libvirtd", ["--timeout", "600"], {
      ...NOBODY,
      env: { PATH: process.env["PATH"], HOME: this.#directory, XDG_RUNTIME_DIR: this.#directory },
      stdio: "ignore",
    });
  }

  get #socket(): string {
    return join(this.#directory, "libvirt/libvirt-sock");
  }

  /** Starts both. */
  static async start(domain: string): Promise<RunningLibvirt> {
    const libvirt = new RunningLibvirt();
    while (!existsSync(libvirt.#socket)) {
      if (libvirt.#daemon.exitCode !== null) throw new Error(`libvirtd ended: ${libvirt.#daemon.exitCode}`);
      await setTimeout(20);
    }
    const file = join(libvirt.#directory, "domain.xml");
    writeFileSync(
      file,
      `<domain type="qemu"><name>${domain}</name><memory unit="MiB">128</memory>
        <os><type machine="q35">hvm</type></os>
        <devices><emulator>/usr/bin/qemu-system-x86_64</emulator><memballoon model="none"/></devices></domain>`,
    );
    libvirt.virsh("create", file, "--paused");
    return libvirt;
  }

  /** Runs virsh on it. */
  virsh(...words: string[]): string {
    const { status, stdout, stderr } = spawnSync("virsh", ["-c", this.uri, ...words], { encoding: "utf8" });
    if (status !== 0) throw new Error(`virsh ${words.join(" ")}: ${stderr}`);
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const domain of this.virsh("list", "--name").split("\n").filter(Boolean))
      this.virsh("destroy", domain);
    this.#daemon.kill();
    if (this.#daemon.exitCode === null) await once(this.#daemon, "exit");
    rmSync(this.#directory, { recursive: true });
  }
}
