/** The last calls of each thread, in a file that outlives a process that crashes. */

import { openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";

/** How many calls are kept, and how many bytes each takes. */
const KEPT = 40;
const WIDTH = 120;

export class CallLog {
  #fd;
  #number = 0;

  /**
   * @param {string} directory of the files of all threads
   * @param {string} thread
   */
  constructor(directory, thread) {
    this.#fd = openSync(join(directory, `${thread}.calls`), "w");
  }

  /** Notes what is about to be called. */
  note(text) {
    const line = `${String(this.#number).padStart(6)} ${text}`.slice(0, WIDTH - 1).replaceAll(/[^ -~]/g, "?");
    writeSync(this.#fd, `${line.padEnd(WIDTH - 1)}\n`, (this.#number++ % KEPT) * WIDTH);
  }
}

/** The log of each thread, the latest call last. */
export function lastCalls(directory) {
  return readdirSync(directory)
    .filter((name) => name.endsWith(".calls"))
    .map((name) => ({
      thread: name.replace(/\.calls$/, ""),
      calls: readFileSync(join(directory, name), "latin1")
        .split("\n")
        .map((line) => line.trim())
        .filter((line) => /^\d/.test(line))
        .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10)),
    }));
}
