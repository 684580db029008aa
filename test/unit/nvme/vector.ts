/** Interrupts of the controller in memory. */

/** An interrupt: it comes once, however often it was raised since it was last taken. */
export class Vector implements AsyncIterable<unknown> {
  #raised = false;
  #closed = false;
  #wake = () => {};

  raise(): void {
    this.#raised = true;
    this.#wake();
  }

  close(): void {
    this.#closed = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator]() {
    for (;;) {
      while (!this.#raised && !this.#closed) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      if (this.#closed) return;
      this.#raised = false;
      yield;
    }
  }
}
