import { checkU32 } from "../arguments.ts";
import type { VfioDeviceFile } from "../backend/backend.ts";
import type { EventFd } from "../backend/handles.ts";
import { outOfRange } from "../errors.ts";
import {
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_UNMASK,
  type VfioIrqInfo,
} from "../uapi.ts";
import { EventStream } from "./event-stream.ts";
import { Resource } from "./resource.ts";

/**
 * The interrupts of one kind that a program takes. Made by {@link Device.enableInterrupts}. Closing it turns them off.
 *
 * ```ts
 * using interrupts = device.enableInterrupts(VFIO_PCI_MSI_IRQ_INDEX, 1);
 * for await (const count of interrupts.vectors[0]) handle(count);
 * ```
 */
export class Interrupts extends Resource {
  /** VFIO_PCI_*_IRQ_INDEX */
  readonly index: number;
  /** The kind of interrupts (VFIO_DEVICE_GET_IRQ_INFO). */
  readonly info: VfioIrqInfo;
  /** One for each interrupt. */
  readonly vectors: readonly [InterruptVector, ...InterruptVector[]];
  readonly #file: VfioDeviceFile;

  /** @internal */
  constructor(
    file: VfioDeviceFile,
    parent: Resource,
    createEventFd: () => EventFd,
    { index, count, info }: { index: number; count: number; info: VfioIrqInfo },
  ) {
    const eventFds: EventFd[] = [];
    try {
      while (eventFds.length < count) eventFds.push(createEventFd());
      file.setIrqs({ index, action: VFIO_IRQ_SET_ACTION_TRIGGER, start: 0, count, eventFds });
    } catch (error) {
      for (const eventFd of eventFds) eventFd.close();
      throw error;
    }
    super(parent);
    this.index = index;
    this.info = info;
    this.vectors = eventFds.map((eventFd) => new InterruptVector(eventFd, this)) as [
      InterruptVector,
      ...InterruptVector[],
    ];
    this.#file = file;
  }

  /**
   * Holds an interrupt back, until it is unmasked.
   *
   * @throws SystemError EINVAL, ENOTTY: this kind cannot be masked (VFIO_IRQ_INFO_MASKABLE)
   */
  mask(vector = 0): void {
    this.#set(vector, VFIO_IRQ_SET_ACTION_MASK);
  }

  /** Lets it come again. INTx masks itself each time it comes (VFIO_IRQ_INFO_AUTOMASKED). Throws as {@link mask} does. */
  unmask(vector = 0): void {
    this.#set(vector, VFIO_IRQ_SET_ACTION_UNMASK);
  }

  /** Signals the eventfd as the device would, to try out what handles it. */
  trigger(vector = 0): void {
    this.#set(vector, VFIO_IRQ_SET_ACTION_TRIGGER);
  }

  /** A count of 0 turns all of the kind off; so does closing the device. */
  protected override release(): void {
    const { index } = this;
    this.#file.setIrqs({ index, action: VFIO_IRQ_SET_ACTION_TRIGGER, start: 0, count: 0, eventFds: [] });
  }

  #set(vector: number, action: number): void {
    this.assertOpen();
    if (checkU32(vector, "vector") >= this.vectors.length)
      throw outOfRange("vector", `below ${this.vectors.length}`, vector);
    this.#file.setIrqs({ index: this.index, action, start: vector, count: 1, eventFds: [] });
  }
}

/** One interrupt: an async iterable of how often it came since it was last asked for. */
export class InterruptVector extends EventStream<bigint> {
  readonly #eventFd: EventFd;

  /** @internal */
  constructor(eventFd: EventFd, parent: Resource) {
    super(eventFd, parent);
    this.#eventFd = eventFd;
  }

  protected override take(): bigint[] {
    const count = this.#eventFd.read();
    return count === 0n ? [] : [count];
  }
}
