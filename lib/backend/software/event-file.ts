/** Events in the model: a queue that can be waited for. */

import { IommufdError } from "../../errors.ts";
import type { EventFd, EventFile } from "../handles.ts";
import { noDescriptors } from "./refusal.ts";

/** A descriptor that becomes readable when something is there. */
abstract class SoftwareEventFile implements EventFile {
  #closed = false;
  #wake: ((ready: boolean) => void) | undefined;

  fd(): number {
    throw noDescriptors();
  }

  /** Nothing in the model keeps the event loop alive: what signals it runs in this program. */
  async readable(): Promise<boolean> {
    this.assertOpen();
    if (this.ready()) return true;
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  close(): void {
    this.#closed = true;
    this.#wake?.(false);
  }

  /** Wakes the waiters: there is something to read. */
  protected signalled(): void {
    this.#wake?.(true);
    this.#wake = undefined;
  }

  /** Whether there is something to read. */
  protected abstract ready(): boolean;

  /** @throws IommufdError ERR_IOMMUFD_CLOSED */
  protected assertOpen(): void {
    if (this.#closed) throw new IommufdError("ERR_IOMMUFD_CLOSED", "the event file is closed");
  }
}

/** A queue of events that an iommufd has. */
export interface EventQueueObject {
  readonly id: number;
  users: number;
  /** The unread events. */
  readonly waiting: readonly unknown[];
  /** Wakes the waiters. */
  onEvent: () => void;
}

/** The descriptor of one, which refers to it for as long as it is open. */
export abstract class SoftwareQueueFile<Id, Queue extends EventQueueObject> extends SoftwareEventFile {
  readonly id: Id;
  protected readonly queue: Queue;
  #letGo: (() => void) | undefined;

  /** @param letGo lets go of the iommufd, which it keeps */
  constructor(queue: Queue, letGo: () => void) {
    super();
    this.#letGo = letGo;
    this.id = queue.id as Id;
    this.queue = queue;
    queue.onEvent = () => this.signalled();
  }

  override close(): void {
    super.close();
    if (this.#letGo === undefined) return;
    this.queue.users--;
    this.#letGo();
    this.#letGo = undefined;
  }

  protected override ready(): boolean {
    return this.queue.waiting.length > 0;
  }
}

/** An eventfd: a counter. */
export class SoftwareEventFd extends SoftwareEventFile implements EventFd {
  #count = 0n;

  read(): bigint {
    this.assertOpen();
    const count = this.#count;
    this.#count = 0n;
    return count;
  }

  /** The effect of an interrupt. */
  signal(): void {
    this.#count++;
    this.signalled();
  }

  protected override ready(): boolean {
    return this.#count > 0n;
  }
}
