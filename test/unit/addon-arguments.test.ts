/**
 * The addon's functions with any arguments whatever, on closed handles and on those of other kinds: they refuse with an
 * error of JavaScript or an errno, and the process lives. The sanitizers run this too.
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { loadAddon } from "../../lib/backend/kernel/addon.ts";

type Callable = (...values: unknown[]) => unknown;
type Handle = { close(): void } & Record<string, Callable>;

/** In how many runs; each is a few dozen calls. */
const RUNS = Number(process.env["IOMMUFD_TEST_RUNS"] ?? 300);

describe.runIf(process.platform === "linux")("the addon's arguments", () => {
  const addon = loadAddon() as unknown as Record<string, Callable>;
  const directory = mkdtempSync(join(tmpdir(), "iommufd-arguments-"));
  const socket = join(directory, "socket");
  const registers = join(directory, "registers");
  writeFileSync(registers, new Uint8Array(8192));
  afterAll(() => rmSync(directory, { recursive: true }));

  /** One handle of each kind, on files that are harmless. */
  const openAll = (): Handle[] => {
    rmSync(socket, { force: true });
    const device = addon["openVfioDevice"]?.(registers) as Handle | undefined;
    return [
      addon["openIommufd"]?.("/dev/null"),
      addon["openVfioDevice"]?.("/dev/null"),
      addon["allocMemory"]?.(8192n, 4096n, false),
      addon["createEventFd"]?.(),
      addon["listenUnixSocket"]?.(socket),
      addon["connectUnixSocket"]?.(socket),
      device?.["mapRegion"]?.(0n, 8192n, true),
    ].filter((handle): handle is Handle => typeof handle === "object");
  };

  const methodsOf = (handle: object) =>
    Object.getOwnPropertyNames(Object.getPrototypeOf(handle)).filter((name) => name !== "constructor");
  const kinds = openAll();
  const methods = kinds.flatMap((handle, kind) => methodsOf(handle).map((name) => ({ kind, name })));
  for (const handle of kinds) handle.close();

  /** Values that are made anew for each call; a function gets the handles, to do something with them meanwhile. */
  const HOSTILE: readonly ((handles: readonly Handle[]) => unknown)[] = [
    () => undefined,
    () => Number.NaN,
    () => -1,
    () => 2 ** 32,
    () => 2 ** 53,
    () => 1e308,
    () => 1.5,
    () => -1n,
    () => 4096n,
    () => 1n << 63n,
    () => 1n << 64n,
    () => -(1n << 200n),
    () => "",
    () => "/dev/null",
    () => "/dev/\0null",
    () => "x".repeat(5000),
    () => Symbol("x"),
    () => new Uint8Array(0),
    () => new Uint8Array(4096),
    () => new BigUint64Array(4),
    () => new DataView(new ArrayBuffer(8)),
    () => new Uint8Array(new SharedArrayBuffer(64)),
    () => {
      const bytes = new Uint8Array(64);
      structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
      return bytes;
    },
    () => {
      const Resizable = ArrayBuffer as unknown as new (
        length: number,
        options: object,
      ) => ArrayBuffer & { resize(length: number): void };
      const buffer = new Resizable(64, { maxByteLength: 128 });
      const bytes = new Uint8Array(buffer, 32);
      buffer.resize(8);
      return bytes;
    },
    () => new Proxy([], { get: (_, name) => (name === "length" ? 2 ** 31 : 0) }),
    () => [1n, "two", {}, null],
    () => Array.from({ length: 300 }, () => 0),
    () => {
      // Grows while it is read.
      const list: unknown[] = [0];
      return Object.defineProperty(list, 0, {
        get: () => {
          while (list.length < 1000) list.push(0);
          return 0;
        },
      });
    },
    (handles) => handles[0],
    (handles) => handles[2],
    (handles) => handles[3],
    (handles) => [handles[3], handles[3]],
    (handles) => ({
      valueOf() {
        for (const handle of handles) handle.close();
        return 1;
      },
    }),
    (handles) => ({
      get length() {
        for (const handle of handles) handle.close();
        return 4;
      },
    }),
    () => ({
      get id() {
        throw new Error("get");
      },
    }),
    () => Object.create(null),
    () => () => 0,
  ];
  /** Any text may become the name of a socket: one in the directory, not in the project. */
  const elsewhere = (anything: unknown) =>
    typeof anything === "string" ? join(directory, anything) : anything;
  const value = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...HOSTILE) },
    { weight: 2, arbitrary: fc.integer({ min: 0, max: 70 }).map((number) => () => number) },
    { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: 1n << 20n }).map((number) => () => number) },
    { weight: 1, arbitrary: fc.anything().map((anything) => () => elsewhere(anything)) },
  );
  const call = fc.record({
    method: fc.oneof(
      { weight: 30, arbitrary: fc.constantFrom(...methods.filter(({ name }) => name !== "close")) },
      { weight: 1, arbitrary: fc.constantFrom(...methods.filter(({ name }) => name === "close")) },
    ),
    /** By the function that knows its handle, whatever `this` is. */
    bound: fc.boolean(),
    /** The handle: mostly its own. */
    self: fc.oneof(
      { weight: 5, arbitrary: fc.constant(-1) },
      { weight: 1, arbitrary: fc.nat({ max: kinds.length }) },
    ),
    values: fc.array(value, { maxLength: 8 }),
  });

  it(`${RUNS} runs of random calls: an answer, an errno, or an error`, async () => {
    const seen = { calls: 0, errors: 0, methods: new Set<string>() };
    await fc.assert(
      fc.asyncProperty(fc.array(call, { minLength: 20, maxLength: 40 }), async (calls) => {
        const handles = openAll();
        const started = new Map<string, Promise<unknown>>();
        const use = (result: unknown, method: (typeof methods)[number]) => {
          if (result instanceof Promise) {
            const name = `${method.kind}.${method.name} ${started.size}`;
            started.set(
              name,
              result.catch(expectError).finally(() => started.delete(name)),
            );
          } else if (
            typeof result === "object" &&
            result !== null &&
            "close" in result &&
            method.name !== "bound"
          )
            (result as Handle).close();
        };
        for (const { method, bound, self, values } of calls) {
          const own = handles[method.kind] as Handle;
          const that = self < 0 ? own : (handles[self] ?? {});
          seen.calls++;
          seen.methods.add(`${method.kind}.${method.name}`);
          try {
            const args = values.map((make) => make(handles));
            const functions = bound ? (own["bound"]?.() as Handle) : own;
            use(Reflect.apply((functions[method.name] ?? own[method.name]) as Callable, that, args), method);
          } catch (error) {
            seen.errors++;
            expectError(error);
          }
        }
        for (const handle of handles) handle.close();
        // A wait ends when its handle is closed.
        await Promise.race([Promise.all(started.values()), setTimeout(10_000, undefined, { ref: false })]);
        expect([...started.keys()]).toEqual([]);
      }),
      { numRuns: RUNS, endOnFailure: true },
    );
    expect(seen.methods.size).toBe(methods.length);
    expect(seen.errors).toBeGreaterThan(seen.calls / 10);
  }, 300_000);

  it("functions that open", () => {
    const names = Object.keys(addon).filter((name) => typeof addon[name] === "function");
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.array(value, { maxLength: 4 }), (name, values) => {
        try {
          const made = addon[name]?.(...values.map((make) => make([])));
          if (typeof made === "object") (made as Handle).close();
        } catch (error) {
          expectError(error);
        }
      }),
      { numRuns: RUNS * 10 },
    );
  });
});

/** Errors of JavaScript, what is said of closed handles, and what a getter of ours throws; no other is meant. */
function expectError(error: unknown): void {
  const { name, message } = error as Error;
  const isMeant = /^(TypeError|RangeError)$/.test(name) || / is closed$|^get$/.test(message);
  if (!isMeant) throw error;
}
