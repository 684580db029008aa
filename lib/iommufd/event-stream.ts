import type { EventFile } from "../backend/handles.ts";
import { Resource } from "./resource.ts";

/**
 * An async iterable of events: `for await (const event of stream)`. It takes no more from the kernel than it is asked
 * for, so a slow reader holds them up there, and it ends when it is closed. The next loop gets the events that a loop
 * leaves.
 * A loop that waits keeps the program alive, as one that reads a socket does.
 */
export abstract class EventStream<Event> extends Resource implements AsyncIterable<Event> {
  readonly #file: EventFile;
  #taken: Event[] = [];
  #waiting: Promise<void> | undefined;

  /** @internal */
  constructor(file: EventFile, ...parents: Resource[]) {
    super(...parents);
    this.#file = file;
  }

  /**
   * The descriptor, for a program that waits for it by itself, and then not by a loop over this. It stays this object's to
   * close.
   *
   * @throws IommufdError ERR_IOMMUFD_NO_KERNEL_BACKEND: on the software backend
   */
  get fd(): number {
    this.assertOpen();
    return this.#file.fd();
  }

  /** The events, as they come, until it is closed. */
  [Symbol.asyncIterator](): AsyncIterator<Event, undefined> {
    return {
      next: () => this.#next(),
      return: async () => ({ done: true, value: undefined }),
    };
  }

  /** Takes what there is, a few events at most; none where there is none. */
  protected abstract take(): Event[];

  protected override release(_whole: boolean): void {
    this.#file.close();
  }

  async #next(): Promise<IteratorResult<Event, undefined>> {
    while (!this.closed) {
      const value = this.#taken.shift();
      if (value !== undefined) return { done: false, value };
      // Without a look before: what is there already ends the wait at once, and a flood of events leaves the event loop
      // its turns. Loops that wait at the same time share one wait; the first one gets the events.
      this.#waiting ??= this.#wait();
      await this.#waiting;
      if (this.#taken.length === 0 && !this.closed) this.#taken = this.take();
    }
    return { done: true, value: undefined };
  }

  async #wait(): Promise<void> {
    try {
      await this.#file.readable();
    } finally {
      this.#waiting = undefined;
    }
  }
}
