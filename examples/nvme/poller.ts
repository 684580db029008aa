/** Looks for completions: at interrupts, or again and again while commands are under way. */

import type { QueuePair } from "./queue.ts";

/** How often queues are looked at in one turn of the event loop. */
const TRIES = 50;

export class Poller {
  /** Whether completions are found without interrupts. */
  readonly polling: boolean;
  /** Queues that have commands under way, as long as no interrupts announce completions. */
  readonly #busy = new Set<QueuePair>();
  #listening = false;
  #scheduled = false;
  #stopped = false;

  constructor(polling: boolean) {
    this.polling = polling;
  }

  /** Looks after a queue from now on, until it has nothing under way. Where interrupts are taken, they do that. */
  watch(queue: QueuePair): void {
    if (this.#listening) return;
    this.#busy.add(queue);
    this.#schedule();
  }

  /**
   * Takes an interrupt, whenever it comes, as the sign that these queues have completions.
   *
   * @param failed called if interrupts cannot be waited for
   */
  listen(
    vector: AsyncIterable<unknown>,
    queues: readonly QueuePair[],
    failed: (error: unknown) => void,
  ): void {
    this.#listening = true;
    void (async () => {
      for await (const _ of vector) for (const queue of queues) queue.poll();
    })().catch(failed);
  }

  /** Looks for nothing any more. */
  stop(): void {
    this.#stopped = true;
    this.#busy.clear();
  }

  /** Once in each turn of the event loop, so that timers, sockets and files have theirs. */
  #schedule(): void {
    if (this.#scheduled || this.#stopped) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      // A few times, for the next turn costs more than they do; until something is there, for which somebody may wait.
      for (let tries = 0; tries < TRIES && !this.#look(); tries++);
      if (this.#busy.size > 0) this.#schedule();
    });
  }

  /** Whether there was something. */
  #look(): boolean {
    let found = false;
    for (const queue of this.#busy) {
      if (queue.poll() > 0) found = true;
      if (queue.inFlight === 0) this.#busy.delete(queue);
    }
    return found;
  }
}
