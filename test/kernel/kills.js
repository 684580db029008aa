// Kills a program while it maps, at random moments; whenever it was, the next one finds the device free, and works.
//
//   node test/kernel/boot.js -- node test/kernel/kills.js [KILLS]        200 by default

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout } from "node:timers/promises";

const kills = Number(process.argv[2] ?? 200);
const BDF = "0000:00:01.0";
/** The longest that one may live, in milliseconds: a few rounds of what it does. */
const LONGEST = 250;

/** Starts one, which waits: starting takes longer than all else. */
function start() {
  const child = spawn(
    process.execPath,
    ["-e", "process.stdin.once('data', () => import('./test/kernel/victim.js'))", "victim.js", BDF],
    {
      stdio: ["pipe", "pipe", "inherit"],
    },
  );
  return child;
}

const waits = [];
let waiting = start();
for (let count = 0; count < kills; count++) {
  const victim = waiting;
  victim.stdin.write("go\n");
  // The program must get the device, which the program before it had when it was killed.
  const [said] = await Promise.race([once(victim.stdout, "data"), once(victim, "exit").then(() => [])]);
  if (said === undefined) {
    console.error(`after ${count} kills the next one did not work`);
    process.exit(1);
  }
  waiting = start();
  const wait = Math.random() * LONGEST;
  await setTimeout(wait);
  victim.kill("SIGKILL");
  await once(victim, "exit");
  waits.push(wait);
}
waiting.kill();
await once(waiting, "exit");

const memory = readFileSync("/proc/meminfo", "utf8");
const average = waits.reduce((sum, wait) => sum + wait, 0) / waits.length;
console.table([
  {
    kills,
    "killed after, on average (ms)": Math.round(average),
    "next one worked": kills,
    "MemFree (MiB)": Math.round(Number(/^MemFree: +(\d+)/m.exec(memory)[1]) / 1024),
  },
]);
