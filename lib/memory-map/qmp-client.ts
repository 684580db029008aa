/** QEMU's machine protocol over its own socket: one JSON document a line, either way. */

import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import type { z } from "zod";
import { IommufdError, isSystemError } from "../errors.ts";
import { schema } from "../lazy.ts";
import { ANSWER_LIMIT, INPUT_LIMIT, tooLong } from "../limits.ts";
import { type Answer, answer, Monitor, type MonitorOptions } from "./monitor.ts";

const greeting = schema((z) => z.object({ QMP: z.object({}) }));
const eventOrAnswer = schema((z) => z.union([z.object({ event: z.string() }), answer()]));
const anything = schema((z) => z.unknown());

/** Why QEMU may not answer: others wait until the first has ended. */
const ONE_CLIENT = "; it serves one client at a time";

/** Why a socket cannot be connected to. */
const WHY_NOT: Readonly<Record<string, string>> = {
  ENOENT: "no such socket",
  ECONNREFUSED: "nobody listens there, or it is not a socket",
  EACCES: "this user may not connect to it",
  ENOTSOCK: "it is not a socket",
  EAGAIN: `QEMU is busy${ONE_CLIENT}`,
};

/** A connection to a running QEMU. */
export class QmpClient extends Monitor {
  readonly #socket: Socket;
  readonly #lines: AsyncGenerator<string, void>;

  private constructor(path: string, socket: Socket, options: MonitorOptions) {
    super(path, options);
    this.#socket = socket;
    this.#lines = receivedLines(socket, path);
  }

  /**
   * Connects to a socket of `-qmp unix:PATH,server=on` and ends the negotiation.
   *
   * @throws IommufdError ERR_IOMMUFD_QEMU: nobody listens there, the listener is not a QEMU, or it does not answer in
   * time;
   *   ERR_IOMMUFD_INPUT: it sends too much
   */
  static async connect(path: string, options: MonitorOptions = {}): Promise<QmpClient> {
    if (path === "") throw new IommufdError("ERR_IOMMUFD_QEMU", "the path of the QMP socket is empty");
    // As an option, because a path such as "4444" alone would be taken for a TCP port.
    const socket = createConnection({ path });
    try {
      await once(socket, "connect");
    } catch (error) {
      if (!isSystemError(error)) throw error;
      // "connect ENOENT /run/vm/qmp.sock" names the socket once more, and says nothing of what to do.
      const why = WHY_NOT[error.code] ?? "it cannot be connected to";
      throw new IommufdError("ERR_IOMMUFD_QEMU", `${path}: ${error.code}: ${why}`, { cause: error });
    }
    // A later error ends the lines; the command that waits for a line reports it.
    socket.on("error", () => {});
    const client = new QmpClient(path, socket, options);
    try {
      await client.#receive("a greeting", greeting(), () => true, ONE_CLIENT);
      await client.ask("qmp_capabilities", {}, anything());
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
    const isAnswer = (sent: z.output<ReturnType<typeof eventOrAnswer>>) => !("event" in sent);
    return (await this.#receive(`the answer to ${command}`, eventOrAnswer(), isAnswer)) as Answer;
  }

  /** Resolves to the first line that is what was waited for. All that comes before it counts for the time, too. */
  async #receive<Schema extends z.ZodType>(
    what: string,
    schema: Schema,
    isIt: (sent: z.output<Schema>) => boolean,
    hint = "",
  ): Promise<z.output<Schema>> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const message = `${this.name}: QEMU did not send ${what} within ${this.timeout / 1000} s${hint}`;
      timer = setTimeout(() => reject(new IommufdError("ERR_IOMMUFD_QEMU", message)), this.timeout);
    });
    try {
      for (;;) {
        const { done, value } = await Promise.race([this.#lines.next().catch(hungUp), late]);
        if (done) throw new IommufdError("ERR_IOMMUFD_QEMU", `${this.name}: QEMU hung up before ${what}`);
        const sent = this.parse(value, schema);
        if (isIt(sent)) return sent;
      }
    } finally {
      clearTimeout(timer);
    }
  }
}

/** QEMU's lines, no faster than they are asked for. */
async function* receivedLines(socket: Socket, name: string): AsyncGenerator<string, void> {
  const pieces: Buffer[] = [];
  let [length, total] = [0, 0];
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    total += chunk.length;
    if (total > INPUT_LIMIT) throw tooLong(name, INPUT_LIMIT, "what QEMU sends");
    let start = 0;
    for (let end = chunk.indexOf("\n"); end >= 0; end = chunk.indexOf("\n", start)) {
      pieces.push(chunk.subarray(start, end));
      yield Buffer.concat(pieces.splice(0)).toString();
      length = 0;
      start = end + 1;
    }
    length += chunk.length - start;
    if (length > ANSWER_LIMIT) throw tooLong(name, ANSWER_LIMIT, "a line that QEMU sends");
    if (start < chunk.length) pieces.push(chunk.subarray(start));
  }
}

/** A connection that breaks (ECONNRESET) says no more than one that ends. */
function hungUp(error: unknown): IteratorReturnResult<undefined> {
  if (error instanceof IommufdError) throw error;
  return { done: true, value: undefined };
}
