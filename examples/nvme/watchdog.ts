/** Looks after a controller: whether it works, and whether commands take too long. */

import { ABORT } from "./commands.ts";
import type { QueuePair } from "./queue.ts";
import { CSTS, CSTS_FATAL, GONE, type Registers } from "./registers.ts";

/** How often it looks within the time that a command may take. */
const TICKS = 4;

/** The actions of the watchdog. */
export interface Remedies {
  /** The controller has to be reset. */
  recover(why: string): void;
  /** The controller cannot be used any more. */
  fail(why: string): void;
}

export class Watchdog {
  readonly #registers: Registers;
  readonly #timeout: number;
  readonly #remedies: Remedies;
  #aborting = false;
  #timer: NodeJS.Timeout | undefined;

  /** @param timeout how long a command may take before it is aborted, in milliseconds */
  constructor(registers: Registers, timeout: number, remedies: Remedies) {
    this.#registers = registers;
    this.#timeout = timeout;
    this.#remedies = remedies;
  }

  /** Begins to look after these; it does not keep the process alive. */
  start(admin: QueuePair, queues: readonly QueuePair[]): void {
    this.stop();
    this.#aborting = false;
    this.#timer = setInterval(() => this.#look(admin, queues), this.#timeout / TICKS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(admin: QueuePair, queues: readonly QueuePair[]): void {
    const status = this.#registers.readUint32(CSTS);
    if (status === GONE) this.#remedies.fail("the controller is gone");
    else if (status & CSTS_FATAL) this.#remedies.recover("the controller has failed (CSTS.CFS)");
    else {
      const problems = [admin, ...queues].map((queue) => this.#check(admin, queue));
      const problem = problems.find((found) => found !== undefined);
      if (problem !== undefined) this.#remedies.recover(problem);
    }
  }

  /** The error of a queue, if the error takes a reset. */
  #check(admin: QueuePair, queue: QueuePair): string | undefined {
    queue.tick++;
    if (queue.overdue(TICKS) === undefined) return undefined;
    // An interrupt may have been lost.
    queue.poll();
    const oldest = queue.overdue(TICKS);
    if (oldest === undefined) return undefined;
    const late = `${oldest.what} took longer than ${this.#timeout} ms`;
    if (queue === admin) return late;
    if (oldest.aborted) return `${late}, and so did aborting it`;
    // Controllers take few abort commands at a time; one is always allowed.
    if (!this.#aborting) this.#abort(admin, queue, oldest.id);
    return undefined;
  }

  /** Its own completion says whether the command was aborted. */
  #abort(admin: QueuePair, queue: QueuePair, id: number): void {
    this.#aborting = true;
    queue.markAborted(id);
    admin.submit({ opcode: ABORT, words: [queue.id | (id << 16)] }, () => {
      this.#aborting = false;
    });
  }
}
