/**
 * Actions on descriptors: they change the length of files of memory, close numbers and let others take them while calls
 * are queued, and send descriptors over sockets.
 */

import { closeSync, ftruncateSync, openSync } from "node:fs";
import { join } from "node:path";

/** @typedef {import("./handle-actions.js").Action} Action */

/** Changes the size of memory by its descriptor, or by its name in /proc; then uses the bytes. */
function truncate(attacker) {
  const { random } = attacker;
  const memory = attacker.handleOf("DmaMemory");
  if (memory === undefined) return;
  const buffer = memory.buffer();
  const number = memory.fd();
  if (number < 0) return;
  const length = random.pick([0, 1, 4096, buffer.byteLength * 2]);
  attacker.figures.truncations++;
  attacker.note(`to ${length}`);
  const ways = [
    () => ftruncateSync(number, length),
    () => closeSync(openSync(`/proc/self/fd/${number}`, "w")),
    () => {
      const again = openSync(`/proc/self/fd/${number}`, "r+");
      try {
        ftruncateSync(again, length);
      } finally {
        closeSync(again);
      }
    },
  ];
  try {
    random.pick(ways)();
  } finally {
    const bytes = new Uint8Array(buffer);
    bytes.fill(random.below(256));
    memory.prefaultSync();
  }
}

/** A descriptor of our own is given to a call that is queued, closed, and its number taken by another file. */
function reuse(attacker) {
  const iommufd = attacker.handleOf("IommufdFile");
  if (iommufd === undefined) return undefined;
  const fd = openSync("/dev/null", "r");
  try {
    // The call throws where a bound function has closed the iommufd.
    return iommufd.ioasMapFile(1, 7, fd, 0n, 4096n, 0n);
  } finally {
    closeSync(fd);
    attacker.keep(attacker.descriptors, openSync("/dev/zero", "r"));
  }
}

/** Descriptors over a socket: ours, and numbers that are nobody's. */
function send(attacker) {
  const { random } = attacker;
  const socket = attacker.handleOf("UnixSocket");
  if (socket === undefined || !attacker.passDescriptors) return undefined;
  const fds = Array.from({ length: random.below(4) }, () =>
    random.percent(90) && attacker.descriptors.length > 0 ? random.pick(attacker.descriptors) : 100_000,
  );
  const bytes = new Uint8Array(1 + random.below(100));
  // The library's sockets duplicate them by themselves.
  if (socket.accept === undefined) return socket.send(bytes, fds);
  const descriptors = attacker.keepHandle(attacker.addon.duplicateDescriptors(fds));
  return socket.send(bytes, descriptors);
}

/** Takes a connection, and a message over one; sockets of the library return a promise. */
function receive(attacker) {
  const socket = attacker.handleOf("UnixSocket");
  if (socket === undefined) return undefined;
  attacker.keepHandle(socket.accept?.());
  if (!attacker.passDescriptors) return undefined;
  const keep = (message) => {
    for (const fd of message?.fds ?? []) attacker.keep(attacker.descriptors, fd);
  };
  const message = socket.receive(1 + attacker.random.below(100));
  if (message instanceof Promise) return message.then(keep);
  keep(message);
  return undefined;
}

/** No descriptor is left: everything that opens is called, and what was open is used. The process must be alone for it. */
export function exhaust(attacker) {
  const taken = [];
  try {
    for (;;) taken.push(openSync("/dev/null", "r"));
  } catch (error) {
    if (error.code !== "EMFILE") throw error;
  }
  // One at a time is given back, so that calls that take two fail at the second.
  for (let free = 0; free < 4; free++) {
    for (let left = 100; left > 0; left--) attacker.step();
    closeSync(taken.pop());
  }
  for (const fd of taken) closeSync(fd);
}

/** @type {readonly Action[]} */
export const DESCRIPTOR_ACTIONS = [
  { name: "truncate", weight: 4, run: (attacker) => truncate(attacker) },
  { name: "reuse", weight: 4, run: reuse },
  { name: "send", weight: 4, run: send },
  { name: "receive", weight: 4, run: receive },
  {
    name: "open",
    weight: 2,
    run: (attacker) =>
      attacker.keep(attacker.descriptors, openSync(join(attacker.directory, "attack-region"), "r")),
  },
];
