/** `iommufd serve` while a test asks it. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { MAIN } from "./command.ts";

/** A server on a port of its own. */
export class RunningServer implements AsyncDisposable {
  readonly process: ChildProcess;
  /** "http://127.0.0.1:40123/metrics" */
  readonly url: URL;
  /** Its lines on standard error; lines are added as they come. */
  readonly said: readonly string[];

  private constructor(process: ChildProcess, url: URL, said: readonly string[]) {
    this.process = process;
    this.url = url;
    this.said = said;
  }

  /** Starts one with more arguments; resolves when it listens. */
  static async start(...args: string[]): Promise<RunningServer> {
    const child = spawn(process.execPath, [MAIN, "serve", "--listen", "127.0.0.1:0", ...args], {
      stdio: ["ignore", "inherit", "pipe"],
    });
    const said: string[] = [];
    const lines = createInterface({ input: child.stderr });
    const url = await new Promise<URL>((resolve, reject) => {
      lines.on("line", (line) => {
        said.push(line);
        const [, address] = /^iommufd: serving (.*)$/.exec(line) ?? [];
        if (address !== undefined) resolve(new URL(address));
      });
      lines.on("close", () => reject(new Error(`it ended: ${said.join("\n")}`)));
    });
    return new RunningServer(child, url, said);
  }

  /** Ends it; resolves to its exit code, and the signal that ended it. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<[number | null, NodeJS.Signals | null]> {
    const { process: child } = this;
    child.kill(signal);
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    return [child.exitCode, child.signalCode];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end("SIGKILL");
  }
}
