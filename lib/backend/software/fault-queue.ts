/** Fault queues of the model (drivers/iommu/iommufd/eventq.c). */

import { systemError } from "../../errors.ts";
import {
  type FaultQueueId,
  IOMMU_PGFAULT_FLAGS_LAST_PAGE,
  IOMMUFD_PAGE_RESP_INVALID,
  IOMMUFD_PAGE_RESP_SUCCESS,
  type PageFaultRecord,
} from "../../uapi.ts";
import type { FaultQueueFile } from "../handles.ts";
import { type EventQueueObject, SoftwareQueueFile } from "./event-file.ts";
import { KernelObject } from "./object-table.ts";

/** A fault as a device reports it: the cookie is the queue's to give. */
export type Fault = Omit<PageFaultRecord, "cookie">;

/** How a group of faults was answered: IOMMUFD_PAGE_RESP_*. */
type Answer = (code: number) => void;

interface Group {
  readonly faults: readonly Fault[];
  readonly answer: Answer;
}

/** IOMMUFD_OBJ_FAULT */
export class FaultQueueObject extends KernelObject implements EventQueueObject {
  /** Groups that nobody has read. */
  readonly waiting: Group[] = [];
  /** Groups that were read and not answered, by cookie. */
  readonly unanswered = new Map<number, Group>();
  /** Wakes the waiters. */
  onEvent: () => void = () => {};

  constructor() {
    super();
    // Its descriptor refers to it.
    this.users = 1;
  }

  /** iommufd_fault_iopf_handler(): a group of faults, the last of which is marked. Resolves to the answer. */
  report(faults: readonly Fault[]): Promise<number> {
    return new Promise((answer) => {
      const marked = faults.map((fault, index) =>
        index === faults.length - 1
          ? { ...fault, flags: fault.flags | IOMMU_PGFAULT_FLAGS_LAST_PAGE }
          : fault,
      );
      this.waiting.push({ faults: marked, answer });
      this.onEvent();
    });
  }

  /** iommufd_auto_response_faults(): the device, or that PASID of it, is attached here no more. */
  detached(deviceId: number, pasid: number): void {
    const isIts = ({ faults }: Group) => faults[0]?.deviceId === deviceId && faults[0].pasid === pasid;
    for (const group of this.waiting.filter(isIts)) {
      this.waiting.splice(this.waiting.indexOf(group), 1);
      group.answer(IOMMUFD_PAGE_RESP_INVALID);
    }
    for (const [cookie, group] of this.unanswered) {
      if (!isIts(group)) continue;
      this.unanswered.delete(cookie);
      group.answer(IOMMUFD_PAGE_RESP_INVALID);
    }
  }

  /** iommufd_fault_destroy(): who still waits is told that it failed. */
  override destroy(): void {
    for (const { answer } of [...this.waiting, ...this.unanswered.values()])
      answer(IOMMUFD_PAGE_RESP_INVALID);
  }
}

/** The descriptor of one. */
export class SoftwareFaultQueueFile
  extends SoftwareQueueFile<FaultQueueId, FaultQueueObject>
  implements FaultQueueFile
{
  /** iommufd_fault_fops_read(): whole groups, the first of which has to fit. */
  read(count: number): PageFaultRecord[] {
    this.assertOpen();
    const records: PageFaultRecord[] = [];
    for (let group = this.queue.waiting[0]; group !== undefined; group = this.queue.waiting[0]) {
      if (records.length + group.faults.length > count) {
        if (records.length === 0) throw systemError("EINVAL", "read", { count });
        break;
      }
      this.queue.waiting.shift();
      const cookie = this.#cookie();
      this.queue.unanswered.set(cookie, group);
      records.push(...group.faults.map((fault) => ({ ...fault, cookie })));
    }
    return records;
  }

  /** iommufd_fault_fops_write() */
  respond(cookie: number, code: number): void {
    this.assertOpen();
    const group = this.queue.unanswered.get(cookie);
    if (group === undefined || (code !== IOMMUFD_PAGE_RESP_SUCCESS && code !== IOMMUFD_PAGE_RESP_INVALID))
      throw systemError("EINVAL", "write", { cookie, code });
    this.queue.unanswered.delete(cookie);
    group.answer(code);
  }

  /** XA_FLAGS_ALLOC1: the lowest free one, from 1. */
  #cookie(): number {
    let cookie = 1;
    while (this.queue.unanswered.has(cookie)) cookie++;
    return cookie;
  }
}
