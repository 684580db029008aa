/** The public API, on the kernel backend without a kernel and on the model: any method of any object, with anything. */

import { KernelBackend } from "../../dist/backend/kernel/kernel-backend.js";
import { UnixServer, UnixSocket } from "../../dist/backend/kernel/unix-socket.js";
import { wrap } from "../../dist/backend/wrapper.js";
import { Iommufd, softwareMachine } from "../../dist/index.js";
import { anyValue } from "./values.js";

/** Names of all methods and getters of an object, including inherited ones. */
function membersOf(object) {
  const names = new Set();
  for (
    let at = Object.getPrototypeOf(object);
    at && at !== Object.prototype;
    at = Object.getPrototypeOf(at)
  ) {
    for (const name of Object.getOwnPropertyNames(at)) names.add(name);
  }
  return [...names].filter((name) => name !== "constructor");
}
/** Methods that are never called at random: their result needs a wait, or must be closed. */
const LEFT_OUT = new Set(["receive", "changeProcess"]);

function open(attacker) {
  const { random } = attacker;
  switch (random.below(4)) {
    case 0:
      return Iommufd.open({ backend: wrap(new KernelBackend({ iommuPath: "/dev/null" })), reason: "attack" });
    case 1:
    case 2:
      return Iommufd.open(softwareMachine(random.percent(50) ? "selftest" : "sapphire-rapids"));
    default: {
      const path = attacker.socketPath();
      attacker.keepHandle(UnixServer.listen(path));
      return UnixSocket.connect(path);
    }
  }
}

/** The arguments that a call needs to get anywhere, and otherwise anything. */
function argumentsFor(attacker, name) {
  const { random } = attacker;
  const known = {
    allocMemory: () => [
      BigInt(1 + random.below(16)) * 4096n,
      { backing: random.pick(["memfd", "anonymous"]) },
    ],
    openDevice: () => [random.pick(["0000:6a:01.0", "0000:00:01.0", "x"])],
    map: () => [attacker.handleOf("DmaMemory"), { iova: BigInt(random.below(16)) * 4096n }],
    mapSync: () => [attacker.handleOf("DmaMemory"), { iova: BigInt(random.below(16)) * 4096n }],
    unmap: () => [BigInt(random.below(16)) * 4096n, 4096n],
    unmapSync: () => [BigInt(random.below(16)) * 4096n, 4096n],
    send: () => [attacker.bytes(), []],
  };
  if (Object.hasOwn(known, name) && random.percent(80)) return known[name]();
  return Array.from({ length: random.below(4) }, () => anyValue(attacker));
}

function callLibrary(attacker) {
  const { random } = attacker;
  const objects = attacker.handles.filter((handle) => !/File$/.test(handle.constructor.name));
  if (objects.length === 0) return undefined;
  const object = random.pick(objects);
  const name = random.pick(membersOf(object));
  if (LEFT_OUT.has(name)) return undefined;
  const isMemory = name === "allocMemory";
  const values = argumentsFor(attacker, name);
  // Memory of a size that the machine does not have is the machine's to refuse, not the library's.
  if (isMemory && typeof values[0] === "bigint" && values[0] > 1n << 20n) return undefined;
  attacker.note(`${object.constructor.name}.${name}`);
  const member = object[name];
  const result = typeof member === "function" ? Reflect.apply(member, object, values) : member;
  if (result instanceof ArrayBuffer) attacker.keep(attacker.buffers, result);
  else if (result instanceof Promise) return result;
  else if (typeof result?.close === "function") attacker.keepHandle(result);
  return undefined;
}

/** @type {readonly import("./handle-actions.js").Action[]} */
export const LIBRARY_ACTIONS = [
  { name: "open (library)", weight: 8, run: (attacker) => attacker.keepHandle(open(attacker)) },
  { name: "call (library)", weight: 60, run: callLibrary },
];
