/** Actions on the handles of the addon: making them, calling them with anything, and pretending to be one. */

import { writeSync } from "node:fs";
import { anyValue } from "./values.js";

const PAGE = 4096n;

/**
 * @typedef {object} Action
 * @property {string} name
 * @property {number} weight how often it is chosen, compared with the others
 * @property {(attacker: import("./attacker.js").Attacker) => unknown} run
 */

/** Makes an eventfd readable, with a write of its own that the addon does not see. */
export function signal(event) {
  writeSync(event.fd(), new BigUint64Array([1n]));
}

/** A handle of any class, made as the library makes it. */
function make(attacker) {
  const { addon, random } = attacker;
  switch (random.below(8)) {
    case 0:
      return addon.openIommufd("/dev/null");
    case 1:
      return addon.openVfioDevice("/dev/null");
    case 2:
      return addon.openVfioDevice(`${attacker.directory}/attack-region`);
    case 3:
    case 4:
      return addon.allocMemory(BigInt(1 + random.below(16)) * PAGE, PAGE, random.percent(20));
    case 5:
      return addon.createEventFd();
    case 6: {
      const path = attacker.socketPath();
      attacker.keepHandle(addon.listenUnixSocket(path));
      return addon.connectUnixSocket(path);
    }
    default:
      return region(attacker);
  }
}

/** Pages of a file that can be mapped, as those of a device's region can. */
function region(attacker) {
  const device = attacker.addon.openVfioDevice(`${attacker.directory}/attack-region`);
  if (typeof device === "number") return device;
  const made = device.mapRegion(BigInt(attacker.random.below(8)) * PAGE, 8n * PAGE, true);
  device.close();
  return made;
}

/** Names of the methods of a handle. */
function methodsOf(handle) {
  return Object.getOwnPropertyNames(Object.getPrototypeOf(handle)).filter(
    (name) => name !== "constructor" && name !== "bound",
  );
}

/** A call with anything. The result of mapRegion is closed unseen, because it may be past the end of its file. */
function callAnything(attacker) {
  const { random } = attacker;
  const handle = attacker.anyHandle();
  if (handle === undefined) return undefined;
  const name = random.pick(methodsOf(handle));
  // A received descriptor must be closed, and closing is an action of its own.
  if (name === "receive" || name === "close") return undefined;
  const that = random.percent(10) ? attacker.anyHandle() : handle;
  const values = Array.from({ length: random.below(8) }, () => anyValue(attacker));
  attacker.note(`${handle.constructor.name}.${name}`);
  const result = Reflect.apply(handle[name], that, values);
  if (name === "mapRegion") result?.close?.();
  else if (result instanceof ArrayBuffer) attacker.keep(attacker.buffers, result);
  else if (result instanceof Promise) return result;
  else attacker.keepHandle(result?.close ? result : undefined);
  return undefined;
}

/** A call that the pool of threads makes, with arguments that look right. */
function callAsynchronously(attacker) {
  const { random } = attacker;
  const iommufd = attacker.handleOf("IommufdFile");
  const owner = attacker.handleOf("DmaMemory");
  if (iommufd === undefined || owner === undefined) return undefined;
  const memory = random.percent(50) ? owner : owner.token();
  const list = new BigUint64Array(1 + random.below(64));
  const calls = [
    () => iommufd.ioasMap(1, 7, memory, 0n, PAGE, 0n),
    () => iommufd.ioasUnmap(1, 0n, PAGE),
    () => iommufd.ioasMapMany(1, 7, memory, list, list, list, true),
    () => iommufd.ioasUnmapMany(1, list, list),
    () => iommufd.ioasCopy(1, 2, 7, PAGE, 0n, 0n),
    () =>
      iommufd.hwptGetDirtyBitmap(
        1,
        0,
        0n,
        64n << 20n,
        random.pick([PAGE, (1n << 40n) + PAGE, 3n, 1n << 63n]),
      ),
    () => iommufd.hwptAlloc(1, 1, 0, 0, 1, attacker.bytes()),
    () => owner.prefault(),
  ];
  // If one of them throws at once, somebody must still wait for the others.
  return Promise.all(Array.from({ length: 1 + random.below(6) }, async () => random.pick(calls)()));
}

/** A call by a function that knows its handle, which others may have closed or forgotten since. */
function callBound(attacker) {
  const { random } = attacker;
  const handle = attacker.anyHandle();
  // Objects of the library have none.
  if (typeof handle?.bound === "function" && random.percent(50))
    attacker.keep(attacker.functions, handle.bound());
  if (attacker.functions.length === 0) return undefined;
  const functions = random.pick(attacker.functions);
  const name = random.pick(Object.keys(functions).filter((name) => name !== "receive"));
  const values = Array.from({ length: random.below(8) }, () => anyValue(attacker));
  attacker.note(`a function, ${name}`);
  const result = functions[name](...values);
  if (name === "mapRegion") result?.close?.();
  else if (result instanceof Promise) return result;
  else if (name === "token") attacker.keep(attacker.tokens, result);
  else attacker.keepHandle(result?.close ? result : undefined);
  return undefined;
}

/** A wait, on what may be ready before, while, or after it is closed, or never. */
function wait(attacker) {
  const { random } = attacker;
  const handle = attacker.handleOf(random.pick(["EventFile", "UnixSocket"]));
  if (handle === undefined) return undefined;
  const canSignal = handle.constructor.name === "EventFile";
  if (canSignal && random.percent(30)) signal(handle);
  const promise = random.percent(70) || canSignal ? handle.readable() : handle.writable();
  if (canSignal && random.percent(30)) signal(handle);
  return promise;
}

/** The constructors of the addon, called with what its own functions alone should be able to give. */
function pretend(attacker) {
  const { random } = attacker;
  const handle = attacker.anyHandle();
  if (handle === undefined) return;
  const Class = /** @type {new (...values: unknown[]) => any} */ (handle.constructor);
  const argument = random.percent(70) ? random.pick(attacker.externals()) : anyValue(attacker);
  const ways = [
    () => new Class(argument),
    () => Reflect.construct(Class, [argument], Array),
    () => new (class extends Class {})(argument),
    () => Reflect.apply(Class, Object.create(Class.prototype), [argument]),
    () => Object.setPrototypeOf({}, Class.prototype),
  ];
  attacker.note(`${Class.name} of a ${typeof argument}`);
  const made = random.pick(ways)();
  // A number of a descriptor, or bytes, that came from there.
  for (const name of ["fd", "buffer"]) if (name in made) made[name]();
}

/** The functions that open, with anything. */
function openAnything(attacker) {
  const { addon, random } = attacker;
  const names = Object.keys(addon).filter((name) => typeof addon[name] === "function");
  const name = random.pick(names);
  const values = Array.from({ length: random.below(4) }, () => {
    const value = anyValue(attacker);
    // Any text may become the name of a socket: one in the directory, not elsewhere.
    return typeof value === "string" ? attacker.socketPath() : value;
  });
  attacker.note(name);
  const made = addon[name](...values);
  if (typeof made === "object") made.close();
}

/** @type {readonly Action[]} */
export const HANDLE_ACTIONS = [
  { name: "make", weight: 12, run: (attacker) => attacker.keepHandle(make(attacker)) },
  { name: "call anything", weight: 20, run: callAnything },
  { name: "call bound", weight: 10, run: callBound },
  { name: "call asynchronously", weight: 8, run: callAsynchronously },
  { name: "wait", weight: 8, run: wait },
  { name: "pretend", weight: 3, run: (attacker) => pretend(attacker) },
  { name: "open anything", weight: 4, run: openAnything },
  { name: "close", weight: 6, run: (attacker) => attacker.closeSome() },
];
