/**
 * Actions on the bytes: others move, read, write, forget and collect ArrayBuffers over pages of the addon, in every
 * order, while their handles live or are closed.
 */

import { randomFill } from "node:crypto";
import { closeSync, openSync, read } from "node:fs";
import { MessageChannel } from "node:worker_threads";

/** @typedef {import("./handle-actions.js").Action} Action */

/** A buffer of a handle, new or seen before. */
function take(attacker) {
  const { random, buffers } = attacker;
  const handle = attacker.handleOf(random.pick(["DmaMemory", "MappedRegion"]));
  if (handle !== undefined && random.percent(70)) {
    attacker.keep(buffers, handle.buffer());
  }
  return buffers.length === 0 ? undefined : random.pick(buffers);
}

/** Reads and writes here and there, the ends included. */
function touch(attacker, buffer) {
  const bytes = new Uint8Array(buffer);
  if (bytes.length === 0) return;
  const at = attacker.random.below(bytes.length);
  bytes[at] = 1;
  bytes[0] = bytes[bytes.length - 1] + bytes[at];
  Buffer.from(buffer).indexOf(7);
}

/** A BYOB read: a web stream takes the ArrayBuffer over, and answers with a new one over the same bytes. */
async function moveIntoStream(buffer) {
  const stream = new ReadableStream({
    type: "bytes",
    pull(controller) {
      const request = /** @type {any} */ (controller).byobRequest;
      request.view[0] = 1;
      request.respond(1);
    },
  });
  const { value } = await stream.getReader({ mode: "byob" }).read(new Uint8Array(buffer));
  return value.buffer;
}

/** A BYOB read that is never answered. */
function loseInStream(buffer) {
  const reader = new ReadableStream({ type: "bytes", pull: () => new Promise(() => {}) }).getReader({
    mode: "byob",
  });
  reader.read(new Uint8Array(buffer)).catch(() => {});
  return undefined;
}

/** Posted to somebody who never looks. */
function post(buffer) {
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(buffer, [buffer]);
  port1.close();
  port2.close();
  return undefined;
}

/** Each takes an ArrayBuffer from its owner and gives the one that has the bytes now, where there is one. */
const MOVES = [
  (buffer) => structuredClone(buffer, { transfer: [buffer] }),
  post,
  moveIntoStream,
  loseInStream,
  // Node.js 21 and later.
  (buffer) => buffer.transfer(),
  (buffer) => buffer.transfer(1),
  (buffer) => buffer.transferToFixedLength(buffer.byteLength * 2),
];

function move(attacker) {
  const buffer = take(attacker);
  if (buffer === undefined) return undefined;
  const way = attacker.random.pick(MOVES);
  attacker.note(String(way).slice(0, 60));
  if (attacker.moved !== undefined) Atomics.add(attacker.moved, 0, 1);
  const moved = way(buffer);
  attacker.figures.transfers++;
  const keep = (other) => {
    if (!(other instanceof ArrayBuffer)) return;
    touch(attacker, other);
    attacker.keep(attacker.buffers, other);
  };
  if (moved instanceof Promise) return moved.then(keep);
  keep(moved);
  return undefined;
}

/** Forgets a buffer, or all; and collects, in either order with closing. */
function collect(attacker) {
  const { random } = attacker;
  if (random.percent(30)) attacker.buffers.length = 0;
  if (random.percent(50)) attacker.closeSome();
  attacker.figures.collections++;
  globalThis.gc?.({ type: random.percent(30) ? "major" : "minor", execution: "sync" });
}

/**
 * Memory is closed while the pool of threads writes into its bytes, itself or by the kernel.
 *
 * Nobody else gets these bytes. A stock Node.js reads and writes freed memory where an ArrayBuffer, of its own as well, is
 * transferred and collected while crypto.randomFill() has it, and aborts where the input of zlib is detached.
 */
function closeUnderPool(attacker) {
  const memory = attacker.addon.allocMemory(1n << 20n, 4096n, attacker.random.percent(50));
  if (typeof memory === "number") return undefined;
  const bytes = new Uint8Array(memory.buffer());
  const promise = new Promise((resolve) => {
    if (attacker.random.percent(50)) randomFill(bytes, resolve);
    else {
      const fd = openSync("/dev/zero", "r");
      read(fd, bytes, 0, bytes.length, null, () => resolve(closeSync(fd)));
    }
  });
  memory.close();
  return promise;
}

/** @type {readonly Action[]} */
export const BUFFER_ACTIONS = [
  {
    name: "touch",
    weight: 10,
    run(attacker) {
      const buffer = take(attacker);
      if (buffer !== undefined) touch(attacker, buffer);
    },
  },
  { name: "move", weight: 10, run: move },
  { name: "collect", weight: 2, run: collect },
  { name: "close under pool", weight: 2, run: closeUnderPool },
];
