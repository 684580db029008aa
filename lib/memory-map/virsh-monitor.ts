/** QEMU's machine protocol through libvirt, which holds the socket of the VMs that it runs. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { IommufdError, isSystemError } from "../errors.ts";
import { ANSWER_LIMIT, tooLong } from "../limits.ts";
import { type Answer, answer, Monitor, type MonitorOptions } from "./monitor.ts";

/**
 * A running domain of libvirt, asked with `virsh qemu-monitor-command`. virsh knows which libvirt to ask, for example
 * from LIBVIRT_DEFAULT_URI. libvirt marks the domain as tainted (custom-monitor), because such commands could change
 * it. The commands from here do not change it.
 */
export class VirshMonitor extends Monitor {
  readonly #domain: string;

  /** @param domain its name, id or UUID */
  constructor(domain: string, options: MonitorOptions = {}) {
    super(`libvirt domain ${domain}`, options);
    this.#domain = domain;
  }

  [Symbol.dispose](): void {}

  protected override async exchange(command: string, args: object): Promise<Answer> {
    return this.parse(await this.#run(command, args), answer());
  }

  async #run(command: string, args: object): Promise<string> {
    const document = JSON.stringify({ execute: command, arguments: args });
    const words = ["qemu-monitor-command", "--domain", this.#domain, "--cmd", document];
    try {
      const options = { timeout: this.timeout, killSignal: "SIGKILL", maxBuffer: ANSWER_LIMIT } as const;
      return (await promisify(execFile)("virsh", words, options)).stdout;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ERR_CHILD_PROCESS_STDIO_MAXBUFFER")
        throw tooLong(this.name, ANSWER_LIMIT, `the answer to ${command}`);
      throw new IommufdError("ERR_IOMMUFD_QEMU", `${this.name}: ${this.#describe(error, command)}`, {
        cause: error,
      });
    }
  }

  #describe(error: unknown, command: string): string {
    if (isSystemError(error, "ENOENT"))
      return "virsh is not installed (Debian: libvirt-clients); or ask QEMU itself, with --qmp";
    const { killed, stderr, message } = error as { killed?: boolean; stderr?: string; message: string };
    if (killed) return `virsh did not answer ${command} within ${this.timeout / 1000} s`;
    // "error: failed to get domain 'x'", and often a second line that says why.
    const said = (stderr ?? "").trim().replaceAll(/^error: /gm, "");
    return said === "" ? message : said.replaceAll("\n", ": ");
  }
}
