// Watches that a test machine does not hang. An emulated processor may lose its timer, and then nothing in the machine goes on
// (docs/testing.md says what was seen).
//
// init.sh writes to a file for each processor, again and again: its pulse. A processor without a pulse is dead, however far
// the command is.

import { execFile } from "node:child_process";
import { once } from "node:events";
import { statSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";

/** For QEMU: a monitor, to be asked when the machine hangs. */
export const monitorOptions = (directory) => [
  ...["-chardev", `socket,id=monitor,path=${join(directory, "monitor")},server=on,wait=off`],
  ...["-mon", "chardev=monitor,mode=readline"],
];

/**
 * Calls `hangs` once, where a processor has had no pulse for `limit` seconds. Seconds are counted, not read from a clock,
 * because this machine may itself be stopped for a while. Returns what ends the watch.
 *
 * @param {string} directory the one that the machine writes to
 * @param {number} processors
 * @param {number} limit
 * @param {(processor: number) => void} hangs
 */
export function watchPulse(directory, processors, limit, hangs) {
  const watched = Array.from({ length: processors }, (_, processor) => ({
    file: join(directory, `pulse-${processor}`),
    beat: /** @type {number | undefined} */ (undefined),
    seconds: 0,
  }));
  const timer = setInterval(() => {
    for (const one of watched) {
      const beat = statSync(one.file, { throwIfNoEntry: false })?.mtimeMs;
      one.seconds = beat === one.beat ? one.seconds + 1 : 0;
      one.beat = beat;
    }
    const dead = watched.findIndex(({ seconds }) => seconds >= limit);
    if (dead < 0) return;
    clearInterval(timer);
    hangs(dead);
  }, 1000);
  return () => clearInterval(timer);
}

/**
 * The state of a machine: its processors, as its monitor shows them, and the threads of QEMU, where there is a gdb.
 *
 * @param {string} directory that of `monitorOptions`
 * @param {number} pid of QEMU
 */
export async function stateOfMachine(directory, pid) {
  const parts = await Promise.allSettled([askMonitor(join(directory, "monitor")), backtraces(pid)]);
  return parts.map((part) => (part.status === "fulfilled" ? part.value : String(part.reason))).join("\n");
}

/** A monitor that is as dead as the machine gives what it gave within five seconds. */
async function askMonitor(path) {
  const socket = createConnection(path);
  await once(socket, "connect");
  let answer = "";
  socket.on("data", (data) => {
    answer += data;
  });
  socket.on("error", () => {});
  for (const line of ["info status", "info cpus", "info registers -a", "info lapic 0", "info lapic 1"])
    socket.write(`${line}\n`);
  await delay(5000);
  socket.destroy();
  // Without the echo of each command, and the registers of floating-point numbers.
  return answer
    .split(/\r?\n/)
    .filter((line) => !/^(\(qemu\)|[XYZ]MM|FPR)/.test(line))
    .join("\n");
}

async function backtraces(pid) {
  const options = ["-p", `${pid}`, "-batch", "-ex", "thread apply all backtrace 12"];
  const { stdout } = await promisify(execFile)("gdb", options, { timeout: 30_000, maxBuffer: 1 << 24 });
  return stdout;
}
