/** Event queues of modelled vIOMMUs (drivers/iommu/iommufd/eventq.c). */

import { systemError } from "../../errors.ts";
import { IOMMU_VEVENTQ_FLAG_LOST_EVENTS, type VeventQueueId, type VeventRecord } from "../../uapi.ts";
import type { VeventQueueFile } from "../handles.ts";
import { type EventQueueObject, SoftwareQueueFile } from "./event-file.ts";
import { SELFTEST } from "./iommus/selftest.ts";
import { KernelObject } from "./object-table.ts";
import { Refusal } from "./refusal.ts";

/** VEVENTQ_MAX_DEPTH */
const MOST_EVENTS = 1 << 19;

/** iommufd_veventq_alloc(), before it looks for the vIOMMU. */
export function checkVeventq(type: number, depth: number): void {
  if (type === 0) throw new Refusal("EOPNOTSUPP");
  if (depth === 0 || depth > MOST_EVENTS) throw new Refusal("EINVAL");
}

/** The part of a vIOMMU that its event queue has to know. */
export interface EventfulViommu extends KernelObject {
  readonly veventqs: Map<number, VeventqObject>;
}

/** IOMMUFD_OBJ_VEVENTQ */
export class VeventqObject extends KernelObject implements EventQueueObject {
  readonly #viommu: EventfulViommu;
  readonly #type: number;
  readonly #depth: number;
  #sequence = 0;
  /** Events that nobody has read; at the end the mark that some were lost. */
  readonly waiting: VeventRecord[] = [];
  /** Wakes the waiters. */
  onEvent: () => void = () => {};

  constructor(viommu: EventfulViommu, type: number, depth: number) {
    super();
    if (viommu.veventqs.has(type)) throw new Refusal("EEXIST");
    this.#viommu = viommu;
    this.#type = type;
    this.#depth = depth;
    // Its descriptor refers to it.
    this.users = 1;
    viommu.users++;
    viommu.veventqs.set(type, this);
  }

  /** iommufd_viommu_report_event(): a full queue ends with a mark, which has the number of the last that was lost. */
  report(data: Uint8Array): void {
    const marked = this.waiting.at(-1)?.flags === IOMMU_VEVENTQ_FLAG_LOST_EVENTS;
    const full = this.waiting.length - (marked ? 1 : 0) >= this.#depth;
    if (marked) this.waiting.pop();
    this.waiting.push({
      flags: full ? IOMMU_VEVENTQ_FLAG_LOST_EVENTS : 0,
      sequence: this.#sequence,
      data: full ? new Uint8Array(0) : data,
    });
    this.#sequence = (this.#sequence + 1) % 2 ** 31;
    this.onEvent();
  }

  override destroy(): void {
    this.#viommu.users--;
    this.#viommu.veventqs.delete(this.#type);
  }
}

/** iommufd_test_trigger_vevent(): the device, by what the guest calls it. */
export function selftestEvent(virtId: bigint): Uint8Array {
  return new Uint8Array(Uint32Array.of(Number(BigInt.asUintN(32, virtId))).buffer);
}

/** The queue that events of mock devices go to. */
export function selftestQueue(viommu: EventfulViommu): VeventqObject {
  const queue = viommu.veventqs.get(SELFTEST.veventqType);
  if (queue === undefined) throw new Refusal("EOPNOTSUPP");
  return queue;
}

/** The descriptor of one. */
export class SoftwareVeventQueueFile
  extends SoftwareQueueFile<VeventQueueId, VeventqObject>
  implements VeventQueueFile
{
  /** iommufd_veventq_fops_read() */
  read(dataLength: number, count: number): VeventRecord[] {
    this.assertOpen();
    if (this.queue.waiting.some(({ flags, data }) => flags === 0 && data.length > dataLength))
      throw systemError("EINVAL", "read", { dataLength, count });
    return this.queue.waiting.splice(0, count);
  }
}
