/** The command: node examples/nvme/cli.js identify|read|write|bench BDF. */

import process from "node:process";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";
import type { Controller } from "./controller.ts";
import { randomReads } from "./load.ts";
import { openController } from "./pci.ts";

const USAGE = `usage: node examples/nvme/cli.js COMMAND BDF [options]

  identify BDF   what the controller and its namespaces are
  read BDF       blocks to standard output
  write BDF      standard input to blocks, and flush: what was there is lost
  bench BDF      random reads of 4 KiB

BDF is the PCI address of an NVMe controller that is bound to vfio-pci, "0000:01:00.0".

  --namespace ID     default: the first
  --first BLOCK      where to begin; default 0
  --count BLOCKS     how much to read; default: to the end
  --polling          look for completions all the time, without interrupts
  --queues N         pairs of I/O queues; default: all
  --depth N          entries of a queue; for bench, reads under way at once (default 64)
  --seconds S        how long bench takes; default 5
`;

const OPTIONS = {
  namespace: { type: "string" },
  first: { type: "string" },
  count: { type: "string" },
  polling: { type: "boolean" },
  queues: { type: "string" },
  depth: { type: "string" },
  seconds: { type: "string" },
  help: { type: "boolean", short: "h" },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>["values"];

/** A mistake in how the command was called. */
class UsageError extends Error {}

const COMMANDS: Readonly<Record<string, (controller: Controller, values: Values) => Promise<void>>> = {
  identify,
  read,
  write,
  bench,
};

/** Runs the command. Returns the exit code: 0, 1 where it failed, 2 where it was called in the wrong way. */
export async function main(words: readonly string[]): Promise<number> {
  try {
    const { values, positionals } = parse(words);
    if (values.help) {
      process.stdout.write(USAGE);
      return 0;
    }
    const [name = "", bdf, ...rest] = positionals;
    const run = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (run === undefined || bdf === undefined || rest.length > 0)
      throw new UsageError("one of identify, read, write, bench, and one PCI address are needed; see --help");
    await using controller = await openController(bdf, {
      queues: number(values, "queues"),
      depth: name === "bench" ? undefined : number(values, "depth"),
      completions: values.polling ? "polling" : undefined,
    });
    await run(controller, values);
    return 0;
  } catch (error) {
    process.stderr.write(`nvme: ${error instanceof Error ? error.message : error}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}

function parse(words: readonly string[]) {
  try {
    return parseArgs({ args: [...words], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message.split("\n")[0]);
  }
}

function number(values: Values, name: "namespace" | "first" | "count" | "queues" | "depth" | "seconds") {
  const text = values[name];
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(Number(text)))
    throw new UsageError(`--${name} must be a whole number, received ${JSON.stringify(text)}`);
  return Number(text);
}

async function identify(controller: Controller): Promise<void> {
  const { model, serial, firmware, volatileWriteCache } = controller.identity;
  const { queues, depth, transfer, completions } = controller.configuration;
  console.log(`${model}, serial ${serial}, firmware ${firmware}`);
  console.log(`volatile write cache: ${volatileWriteCache ? "yes" : "no"}`);
  console.log(
    `driven by ${completions}, ${queues} I/O queues of ${depth} entries, ${transfer / 1024} KiB a command`,
  );
  for (const id of await controller.namespaces()) {
    const { blocks, blockSize } = await controller.namespace(id);
    console.log(`namespace ${id}: ${blocks} blocks of ${blockSize} bytes`);
  }
}

async function chosen(controller: Controller, values: Values) {
  const id = number(values, "namespace") ?? (await controller.namespaces())[0];
  if (id === undefined) throw new RangeError("the controller has no namespace");
  return controller.namespace(id);
}

async function read(controller: Controller, values: Values): Promise<void> {
  const namespace = await chosen(controller, values);
  const pieces = namespace.read(number(values, "first"), number(values, "count"));
  // A piece is good until the next one is asked for, and a stream asks before it has written.
  await pipeline(copies(pieces), process.stdout, { end: false });
}

async function* copies(pieces: AsyncIterable<Uint8Array>) {
  for await (const piece of pieces) yield piece.slice();
}

async function write(controller: Controller, values: Values): Promise<void> {
  const namespace = await chosen(controller, values);
  const first = number(values, "first") ?? 0;
  const written = await namespace.write(first, process.stdin);
  process.stderr.write(
    `${written} blocks of ${namespace.blockSize} bytes written from block ${first} on, and flushed\n`,
  );
}

async function bench(controller: Controller, values: Values): Promise<void> {
  const namespace = await chosen(controller, values);
  const depth = number(values, "depth") ?? 64;
  const { reads, seconds, iops } = await randomReads(controller, namespace, {
    depth,
    seconds: number(values, "seconds") ?? 5,
  });
  const how = `${depth} at a time, by ${controller.configuration.completions}`;
  console.log(`${reads} reads of 4 KiB in ${seconds.toFixed(2)} s, ${how}: ${Math.round(iops)} a second`);
}
