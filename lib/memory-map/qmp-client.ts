/** A client of QEMU's machine protocol (docs/interop/qmp-spec.rst): one JSON document a line, either way. */

import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { z } from "zod";
import { IommufdError, isSystemError } from "../errors.ts";
import { checkJson, readJson } from "../json.ts";

const greeting = z.object({
  QMP: z.object({
    version: z.object({
      qemu: z.object({ major: z.int(), minor: z.int(), micro: z.int() }),
    }),
  }),
});

const reply = z.union([
  z.object({ event: z.string() }),
  z.object({ error: z.object({ class: z.string(), desc: z.string() }) }),
  z.object({ return: z.unknown() }),
]);

/** Why QEMU may not answer: others wait until the first has ended. */
const ONE_CLIENT = "; it serves one client at a time";

/** Settings of a connection. */
export interface QmpOptions {
  /** How long QEMU may take for an answer, in milliseconds. Default 10,000. */
  readonly timeout?: number | undefined;
}

/** A connection to a running QEMU. Commands are answered one after the other. */
export class QmpClient implements Disposable {
  /** What QEMU calls its version: "10.0.2". */
  readonly version: string;

  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;
  readonly #name: string;
  readonly #timeout: number;

  private constructor(
    socket: Socket,
    lines: AsyncIterator<string>,
    name: string,
    timeout: number,
    version: string,
  ) {
    this.#socket = socket;
    this.#lines = lines;
    this.#name = name;
    this.#timeout = timeout;
    this.version = version;
  }

  /**
   * Connects to a socket of `-qmp unix:PATH,server=on` and ends the negotiation.
   *
   * @throws IommufdError ERR_IOMMUFD_QEMU: nobody listens there, it is no QEMU, or it does not answer in time
   */
  static async connect(path: string, { timeout = 10_000 }: QmpOptions = {}): Promise<QmpClient> {
    const socket = createConnection(path);
    try {
      await once(socket, "connect");
    } catch (error) {
      const busy = isSystemError(error, "EAGAIN") ? ONE_CLIENT : "";
      throw new IommufdError("ERR_IOMMUFD_QEMU", `${path}: ${(error as Error).message}${busy}`, {
        cause: error,
      });
    }
    // What goes wrong later ends the lines, and is told by the command that waits for one.
    socket.on("error", () => {});
    const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
    try {
      const first = await nextLine(lines, path, timeout, "a greeting", ONE_CLIENT);
      const { qemu } = parse(first, greeting, path).QMP.version;
      const version = `${qemu.major}.${qemu.minor}.${qemu.micro}`;
      const client = new QmpClient(socket, lines, path, timeout, version);
      await client.execute("qmp_capabilities");
      return client;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  /**
   * Executes a command.
   *
   * @returns what QEMU returns, which the caller is to check
   * @throws IommufdError ERR_IOMMUFD_QEMU: QEMU refuses (`cause.class` is QMP's class of error), answers something else than QMP, not in time, or not at all
   */
  async execute(command: string, args: object = {}): Promise<unknown> {
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    for (;;) {
      const line = await nextLine(this.#lines, this.#name, this.#timeout, `the answer to ${command}`);
      const answer = parse(line, reply, this.#name);
      if ("event" in answer) continue;
      if ("error" in answer)
        throw new IommufdError("ERR_IOMMUFD_QEMU", `${this.#name}: ${command}: ${answer.error.desc}`, {
          cause: answer.error,
        });
      return answer.return;
    }
  }

  /** Executes a command and checks what it returns. */
  async ask<Schema extends z.ZodType>(
    command: string,
    args: object,
    schema: Schema,
  ): Promise<z.output<Schema>> {
    const answer = await this.execute(command, args);
    return asQemuError(() => checkJson(answer, schema, `${this.#name}: ${command}`));
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

async function nextLine(
  lines: AsyncIterator<string>,
  name: string,
  timeout: number,
  what: string,
  hint = "",
): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const message = `${name}: QEMU did not send ${what} within ${timeout / 1000} s${hint}`;
    timer = setTimeout(() => reject(new IommufdError("ERR_IOMMUFD_QEMU", message)), timeout);
  });
  try {
    const { done, value } = await Promise.race([lines.next().catch(hungUp), late]);
    if (done) throw new IommufdError("ERR_IOMMUFD_QEMU", `${name}: QEMU hung up before ${what}`);
    return value;
  } finally {
    clearTimeout(timer);
  }
}

/** A connection that breaks (ECONNRESET) says no more than one that ends. */
function hungUp(): IteratorReturnResult<undefined> {
  return { done: true, value: undefined };
}

function parse<Schema extends z.ZodType>(line: string, schema: Schema, name: string): z.output<Schema> {
  return asQemuError(() => readJson(line, schema, name));
}

/** What cannot be read is QEMU's doing here, not that of who wrote the command line. */
function asQemuError<Result>(read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof IommufdError)) throw error;
    throw new IommufdError("ERR_IOMMUFD_QEMU", `not what QMP answers: ${error.message}`, { cause: error });
  }
}
