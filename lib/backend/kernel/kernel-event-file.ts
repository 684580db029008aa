/** Descriptors for events: fault queues, vEVENTQs and eventfds. */

import type { FaultQueueId, PageFaultRecord, VeventQueueId, VeventRecord } from "../../uapi.ts";
import type { EventFd, EventFile, FaultQueueFile, VeventQueueFile } from "../handles.ts";
import type { NativeEventFile, NativeQueue } from "./addon.ts";
import { check } from "./check.ts";

abstract class KernelEventFile implements EventFile {
  readonly native: NativeEventFile;

  constructor(native: NativeEventFile) {
    this.native = native;
  }

  fd(): number {
    return this.native.fd();
  }

  async readable(): Promise<boolean> {
    return check(await this.native.readable(), "epoll_ctl");
  }

  close(): void {
    this.native.close();
  }
}

/** A fault queue of the kernel. */
export class KernelFaultQueueFile extends KernelEventFile implements FaultQueueFile {
  readonly id: FaultQueueId;

  constructor({ id, file }: NativeQueue<FaultQueueId>) {
    super(file);
    this.id = id;
  }

  read(count: number): PageFaultRecord[] {
    return check(this.native.readFaults(count), "read", { count });
  }

  respond(cookie: number, code: number): void {
    check(this.native.respondToFault(cookie, code), "write", { cookie, code });
  }
}

/** A vEVENTQ of the kernel. */
export class KernelVeventQueueFile extends KernelEventFile implements VeventQueueFile {
  readonly id: VeventQueueId;

  constructor({ id, file }: NativeQueue<VeventQueueId>) {
    super(file);
    this.id = id;
  }

  read(dataLength: number, count: number): VeventRecord[] {
    return check(this.native.readEvents(dataLength, count), "read", { dataLength, count });
  }
}

/** An eventfd. */
export class KernelEventFd extends KernelEventFile implements EventFd {
  read(): bigint {
    return check(this.native.readCount(), "read");
  }
}
