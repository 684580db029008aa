/** A worker thread of the attack: attacks, and ends as its data says; one that is to be terminated goes on until it is. */

import { setImmediate } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { Attacker, Finding } from "./attacker.js";

const { end, isReady, usesLibrary, calls, ...options } = workerData;
/** Node.js would make an error event of what is thrown in a worker, without its class. */
const tell = (error) => {
  parentPort.postMessage({ finding: error instanceof Finding ? error.message : String(error.stack) });
};

try {
  const attacker = new Attacker(options);
  if (usesLibrary) attacker.use((await import("./library-actions.js")).LIBRARY_ACTIONS);
  await attacker.run(calls);
  parentPort.postMessage({ figures: attacker.figures });
  if (isReady) attacker.endWhileReady();
  switch (end) {
    case "finish":
      await attacker.finish();
      break;
    case "exit":
      process.exit(3);
      break;
    case "throw":
      queueMicrotask(() => {
        throw new Error("on purpose");
      });
      break;
    default:
      for (;;) {
        attacker.step();
        if (attacker.random.percent(20)) await setImmediate();
      }
  }
} catch (error) {
  tell(error);
}
