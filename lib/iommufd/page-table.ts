/**
 * What a device can be attached to.
 */

import type { PageTableId } from "../backend/uapi.ts";
import type { Device } from "./device.ts";
import { Resource } from "./resource.ts";

/** An {@link Ioas} or a {@link Hwpt}. Closing it detaches the devices attached to it. */
export abstract class PageTable extends Resource {
  /** Its object id. */
  abstract readonly id: PageTableId;
  readonly #devices = new Set<Device>();

  /** The devices attached to it. */
  get devices(): readonly Device[] {
    return [...this.#devices];
  }

  /** @internal */
  attached(device: Device): void {
    this.#devices.add(device);
  }

  /** @internal */
  detached(device: Device): void {
    this.#devices.delete(device);
  }

  protected detachAll(): void {
    for (const device of this.#devices) device.detachFrom(this);
  }
}
