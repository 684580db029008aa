/** One thread of the attack: what it has made so far, and the next thing that it does. */

import { closeSync } from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import { join } from "node:path";
import { setImmediate, setTimeout } from "node:timers/promises";
import tls from "node:tls";
import { Random } from "../random.js";
import { BUFFER_ACTIONS } from "./buffer-actions.js";
import { CallLog } from "./call-log.js";
import { DESCRIPTOR_ACTIONS } from "./descriptor-actions.js";
import { HANDLE_ACTIONS, signal } from "./handle-actions.js";

/** How many handles, buffers and descriptors are kept. More are dropped, for the collector to find. */
const KEPT = 16;
/** How long the last promises may take, in milliseconds. A sanitized process on a busy machine is slow. */
const PATIENCE_MS = 20_000;

/** Findings other than crashes. */
export class Finding extends Error {}

/**
 * @typedef {object} AttackOptions
 * @property {number} seed
 * @property {string} directory for sockets, files and the log
 * @property {string} thread its name in the log
 * @property {Int32Array} [moved] counts in the first element what a thread has moved that may end before it is given
 * up: nobody knows when another thread lets go of it, so it stays mapped
 * @property {boolean} passDescriptors whether descriptors may be received: not where the thread can end before it closes them
 */

export class Attacker {
  /** The raw addon, of the copy that this file is in. */
  addon = createRequire(import.meta.url)("../../build/Release/iommufd.node");
  random;
  directory;
  passDescriptors;
  moved;
  /** Handles of every class of the addon, and objects of the library that have a close() too. */
  handles = /** @type {any[]} */ ([]);
  /** Functions that know their handle. */
  functions = /** @type {Record<string, (...values: unknown[]) => any>[]} */ ([]);
  /** Tokens of memories that may be gone. */
  tokens = /** @type {unknown[]} */ ([]);
  /** ArrayBuffers over pages of the addon, wherever they have gone. */
  buffers = /** @type {ArrayBuffer[]} */ ([]);
  /** Descriptors that this thread has opened itself. */
  descriptors = /** @type {number[]} */ ([]);
  /** The memory that the Externals point into. */
  owners = /** @type {unknown[]} */ ([]);
  figures = { calls: 0, errors: 0, transfers: 0, truncations: 0, closes: 0, collections: 0 };
  #pending = new Map();
  #log;
  #actions = /** @type {{ name: string, run(attacker: Attacker): unknown }[]} */ ([]);
  #externals = /** @type {unknown[] | undefined} */ (undefined);
  #sockets = 0;
  #thread;

  /** @param {AttackOptions} options */
  constructor({ seed, directory, thread, passDescriptors, moved }) {
    this.random = new Random(seed);
    this.directory = directory;
    this.passDescriptors = passDescriptors;
    this.moved = moved;
    this.#thread = thread;
    this.#log = new CallLog(directory, thread);
    this.use([...HANDLE_ACTIONS, ...BUFFER_ACTIONS, ...DESCRIPTOR_ACTIONS]);
  }

  /** Adds what may be done, but for what the command line leaves out. */
  use(actions) {
    const leftOut = process.env.IOMMUFD_ATTACK_WITHOUT?.split(",") ?? [];
    for (const { name, weight, run } of actions) {
      if (!leftOut.includes(name)) this.#actions.push(...Array(weight).fill({ name, run }));
    }
  }

  /** One action. Errors of JavaScript are what it may answer. */
  step() {
    const action = this.random.pick(this.#actions);
    this.attempt(action.name, () => action.run(this));
  }

  /** So many actions, with turns of the event loop in between. */
  async run(actions) {
    for (let done = 0; done < actions; done++) {
      this.step();
      if (this.random.percent(10)) await setImmediate();
    }
  }

  /** Notes what is called, calls it, and keeps the promise that may come of it. */
  attempt(name, call) {
    this.#log.note(name);
    this.figures.calls++;
    try {
      const result = call();
      if (result instanceof Promise) this.#keepPromise(name, result);
      return result;
    } catch (error) {
      this.#seen(error);
      return undefined;
    }
  }

  /** Adds to the log what only the call itself knows. */
  note(text) {
    this.#log.note(`  ${text}`);
  }

  #keepPromise(name, promise) {
    const key = `${name} ${this.figures.calls}`;
    this.#pending.set(key, promise);
    promise.catch((error) => this.#seen(error)).finally(() => this.#pending.delete(key));
  }

  #seen(error) {
    if (error instanceof Finding) throw error;
    // An internal error of the model must have become an error of the library.
    if (error?.constructor?.name === "Refusal") throw new Finding(`an internal error: ${error.stack}`);
    this.figures.errors++;
  }

  /** Keeps something; where there is too much, another is forgotten, without being closed. */
  keep(list, item) {
    if (list.length < KEPT) list.push(item);
    else {
      const at = this.random.below(KEPT);
      const [old] = list.splice(at, 1, item);
      if (typeof old === "number") closeSync(old);
      // The wait keeps its object alive.
      else if (typeof old?.readable === "function") old.close();
    }
    return item;
  }

  /** A handle that was made, or the errno that came in its place. */
  keepHandle(made) {
    return typeof made === "object" && made !== null ? this.keep(this.handles, made) : made;
  }

  anyHandle() {
    return this.handles.length === 0 ? undefined : this.random.pick(this.handles);
  }

  /** A handle of a class of the addon. */
  handleOf(className) {
    const fitting = this.handles.filter((handle) => handle.constructor.name === className);
    return fitting.length === 0 ? undefined : this.random.pick(fitting);
  }

  /** Closes a handle or two; called in the middle of other calls too. */
  closeSome() {
    for (let left = 1 + this.random.below(2); left > 0 && this.handles.length > 0; left--) {
      const [handle] = this.handles.splice(this.random.below(this.handles.length), 1);
      this.figures.closes++;
      try {
        handle.close();
      } catch (error) {
        this.#seen(error);
      }
    }
  }

  /** Bytes: ordinary ones, or a view of pages of the addon. */
  bytes() {
    const length = this.random.below(3) * 4096;
    if (this.buffers.length === 0 || this.random.percent(50)) return new Uint8Array(length);
    return new Uint8Array(this.random.pick(this.buffers));
  }

  /** A path for a socket. */
  socketPath() {
    return join(this.directory, `${this.#thread}-${this.#sockets++}.socket`);
  }

  /** Every External that a stock Node.js hands out. */
  externals() {
    if (this.#externals === undefined) {
      const server = /** @type {any} */ (net.createServer());
      server.listen(this.socketPath());
      server.unref();
      const context = /** @type {any} */ (tls.createSecureContext()).context;
      this.owners.push(server, context);
      this.#externals = [
        server._handle?._externalStream,
        context._external,
        /** @type {any} */ (process.stdout)._handle?._externalStream,
      ].filter((external) => external !== undefined);
      if (this.#externals.length === 0)
        throw new Finding("Node.js hands out no External; the attack misses one of its ways");
    }
    return this.#externals;
  }

  /** Waits on descriptors, which become ready before the event loop can look: an end from now on comes into its way. */
  endWhileReady() {
    if (process.env.IOMMUFD_ATTACK_WITHOUT?.includes("end while ready")) return;
    for (let left = 3; left > 0; left--) {
      const event = this.addon.createEventFd();
      // A number where there is no descriptor left; nothing at all where the worker is ending.
      if (typeof event !== "object") continue;
      this.handles.push(event);
      this.attempt("readable() before the end", () => event.readable());
      signal(event);
    }
  }

  /** Closes everything, and waits for what runs. */
  async finish() {
    this.#log.note("finish");
    for (const handle of this.handles.splice(0)) {
      try {
        handle.close();
      } catch (error) {
        this.#seen(error);
      }
    }
    for (const fd of this.descriptors.splice(0)) closeSync(fd);
    const deadline = AbortSignal.timeout(PATIENCE_MS);
    while (this.#pending.size > 0) {
      if (deadline.aborted) throw new Finding(`never settled: ${[...this.#pending.keys()].join(", ")}`);
      await setTimeout(5);
    }
    // Each of these keeps a handle, or its pages, alive.
    this.functions.length = 0;
    this.buffers.length = 0;
    return this.figures;
  }
}
