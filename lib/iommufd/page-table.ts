import type { PageTableId } from "../uapi.ts";
import { Resource } from "./resource.ts";

/** The parts of a device that a page table has to know. */
export interface AttachedDevice {
  /** Detaches whatever of it is attached to a page table. */
  detachFrom(target: PageTable): void;
}

/** An {@link Ioas} or a {@link Hwpt}. Closing it detaches the devices attached to it. */
export abstract class PageTable<Member extends AttachedDevice = AttachedDevice> extends Resource {
  /** Its object id. */
  abstract readonly id: PageTableId;
  readonly #devices = new Set<Member>();

  /** The devices attached to it. */
  get devices(): readonly Member[] {
    return [...this.#devices];
  }

  /** @internal */
  attached(device: Member): void {
    this.#devices.add(device);
  }

  /** @internal */
  detached(device: Member): void {
    this.#devices.delete(device);
  }

  /** @internal */
  protected detachAll(): void {
    for (const device of this.#devices) device.detachFrom(this);
  }
}
