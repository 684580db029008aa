/** A running QEMU that is asked in its machine protocol (docs/interop/qmp-spec.rst), whichever way that goes. */

import type { z } from "zod";
import { knownOptions } from "../arguments.ts";
import { IommufdError } from "../errors.ts";
import { checkJson, readJson } from "../json.ts";
import { schema } from "../lazy.ts";

/** QEMU's version, in its greeting and in the answer to query-version: "10.0.2". */
const qemuVersion = schema((z) =>
  z
    .object({ qemu: z.object({ major: z.int(), minor: z.int(), micro: z.int() }) })
    .transform(({ qemu: { major, minor, micro } }) => `${major}.${minor}.${micro}`),
);

/** Things with a name and a type: answers of qom-list and device-list-properties. */
export const named = schema((z) => z.array(z.object({ name: z.string(), type: z.string() })));

/** Answers commands. */
export const answer = schema((z) =>
  z.union([
    z.object({ error: z.object({ class: z.string(), desc: z.string() }) }),
    z.object({ return: z.unknown() }),
  ]),
);

/** The answer to a command: its result, or why it was refused. */
export type Answer = z.output<ReturnType<typeof answer>>;

/** Settings of a monitor. */
export interface MonitorOptions {
  /** Name of the address space whose sections are wanted: the one that the devices see. Default "memory". */
  readonly addressSpace?: string | undefined;
  /** How long QEMU may take for an answer, in milliseconds. Default 10,000. */
  readonly timeout?: number | undefined;
}

/** @internal */
export const MONITOR_OPTIONS = knownOptions<MonitorOptions>({ addressSpace: "other", timeout: "other" });

/** A running QEMU that takes commands, one after the other. */
export abstract class Monitor implements Disposable {
  /** Its name in errors. */
  readonly name: string;
  /** How long QEMU may take for an answer, in milliseconds. */
  protected readonly timeout: number;

  constructor(name: string, { timeout = 10_000 }: MonitorOptions) {
    this.name = name;
    this.timeout = timeout;
  }

  /** Sends a command, and resolves to its answer. */
  protected abstract exchange(command: string, args: object): Promise<Answer>;

  abstract [Symbol.dispose](): void;

  /** The version of QEMU: "10.0.2". */
  version(): Promise<string> {
    return this.ask("query-version", {}, qemuVersion());
  }

  /**
   * Executes a command and checks what it returns.
   *
   * @throws IommufdError ERR_IOMMUFD_QEMU: QEMU refuses (`cause.class` is QMP's class of error), answers something else
   *   than QMP or than the schema says, not in time, or not at all
   */
  async ask<Schema extends z.ZodType>(
    command: string,
    args: object,
    schema: Schema,
  ): Promise<z.output<Schema>> {
    const result = await this.exchange(command, args);
    if ("error" in result)
      throw new IommufdError("ERR_IOMMUFD_QEMU", `${this.name}: ${command}: ${result.error.desc}`, {
        cause: result.error,
      });
    return asQemuError(() => checkJson(result.return, schema, `${this.name}: ${command}`));
  }

  /** Reads one document. */
  protected parse<Schema extends z.ZodType>(document: string, schema: Schema): z.output<Schema> {
    return asQemuError(() => readJson(document, schema, this.name));
  }
}

/** An unreadable text is QEMU's mistake here, and not the user's. */
function asQemuError<Result>(read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof IommufdError)) throw error;
    throw new IommufdError("ERR_IOMMUFD_QEMU", `not what QMP answers: ${error.message}`, { cause: error });
  }
}
