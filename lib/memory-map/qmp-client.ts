/** QEMU's machine protocol over its own socket: one JSON document a line, either way. */

import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { z } from "zod";
import { IommufdError, isSystemError } from "../errors.ts";
import { type Answer, answer, Monitor, type MonitorOptions } from "./monitor.ts";

const greeting = z.object({ QMP: z.object({}) });
const eventOrAnswer = z.union([z.object({ event: z.string() }), answer]);

/** Why QEMU may not answer: others wait until the first has ended. */
const ONE_CLIENT = "; it serves one client at a time";

/** Why a socket cannot be connected to. */
const WHY_NOT: Readonly<Record<string, string>> = {
  ENOENT: "no such socket",
  ECONNREFUSED: "nobody listens there, or it is no socket",
  EACCES: "this user may not connect to it",
  ENOTSOCK: "it is no socket",
  EAGAIN: `QEMU is busy${ONE_CLIENT}`,
};

/** A connection to a running QEMU. */
export class QmpClient extends Monitor {
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;

  private constructor(path: string, socket: Socket, options: MonitorOptions) {
    super(path, options);
    this.#socket = socket;
    this.#lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  }

  /**
   * Connects to a socket of `-qmp unix:PATH,server=on` and ends the negotiation.
   *
   * @throws IommufdError ERR_IOMMUFD_QEMU: nobody listens there, it is no QEMU, or it does not answer in time
   */
  static async connect(path: string, options: MonitorOptions = {}): Promise<QmpClient> {
    const socket = createConnection(path);
    try {
      await once(socket, "connect");
    } catch (error) {
      if (!isSystemError(error)) throw error;
      // "connect ENOENT /run/vm/qmp.sock" names the socket once more, and says nothing of what to do.
      const why = WHY_NOT[error.code] ?? "it cannot be connected to";
      throw new IommufdError("ERR_IOMMUFD_QEMU", `${path}: ${error.code}: ${why}`, { cause: error });
    }
    // What goes wrong later ends the lines, and is told by the command that waits for one.
    socket.on("error", () => {});
    const client = new QmpClient(path, socket, options);
    try {
      client.parse(await client.#nextLine("a greeting", ONE_CLIENT), greeting);
      await client.ask("qmp_capabilities", {}, z.unknown());
      return client;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  protected override async exchange(command: string, args: object): Promise<Answer> {
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    for (;;) {
      const sent = this.parse(await this.#nextLine(`the answer to ${command}`), eventOrAnswer);
      if (!("event" in sent)) return sent;
    }
  }

  async #nextLine(what: string, hint = ""): Promise<string> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const message = `${this.name}: QEMU did not send ${what} within ${this.timeout / 1000} s${hint}`;
      timer = setTimeout(() => reject(new IommufdError("ERR_IOMMUFD_QEMU", message)), this.timeout);
    });
    try {
      const { done, value } = await Promise.race([this.#lines.next().catch(hungUp), late]);
      if (done) throw new IommufdError("ERR_IOMMUFD_QEMU", `${this.name}: QEMU hung up before ${what}`);
      return value;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A connection that breaks (ECONNRESET) says no more than one that ends. */
function hungUp(): IteratorReturnResult<undefined> {
  return { done: true, value: undefined };
}
