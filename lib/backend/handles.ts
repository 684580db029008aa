/** Things that a backend hands out beside files for ioctls: memory, registers, and descriptors to wait for. */

import type { FaultQueueId, PageFaultRecord, VeventQueueId, VeventRecord } from "../uapi.ts";

/** Memory that a backend can map for DMA. */
export interface BackendMemory {
  /** In bytes. */
  readonly length: bigint;
  /** The memory; the same ArrayBuffer each time. */
  buffer(): ArrayBuffer;
  /** The memory as a file descriptor (memfd). EBADF: it is anonymous. */
  fd(): number;
  /** Puts a page behind every address. ENOMEM: there are not so many. */
  prefault(): Promise<void>;
  /** Puts a page behind every address. */
  prefaultSync(): void;
  /** Detaches the ArrayBuffer and lets go of the memory. Closing twice is harmless. */
  close(): void;
}

/** Part of a device, or of a vIOMMU, mapped into the process. */
export interface BackendRegion {
  /** The part; the same ArrayBuffer each time. */
  buffer(): ArrayBuffer;
  /** One load of 32 bits; memory that is read after it is read after it. */
  readUint32(offset: bigint): number;
  /** One load of 64 bits. */
  readUint64(offset: bigint): bigint;
  /** One store of 32 bits, after all that was written before, to memory too. EACCES: it is mapped for reading. */
  writeUint32(offset: bigint, value: number): void;
  /** One store of 64 bits. */
  writeUint64(offset: bigint, value: bigint): void;
  /** Detaches the ArrayBuffer and unmaps it. Closing twice is harmless. */
  close(): void;
}

/** A descriptor. */
export interface DescriptorFile {
  /** The descriptor; it stays this file's to close. */
  fd(): number;
  /** Closes the descriptor. Closing twice is harmless. */
  close(): void;
}

/** A descriptor for events. */
export interface EventFile extends DescriptorFile {
  /**
   * Waits for something to read: true once there is, false when it is closed meanwhile. The event loop stays alive
   * for as long as that takes. One wait at a time.
   */
  readable(): Promise<boolean>;
}

/** The descriptor of a fault queue. */
export interface FaultQueueFile extends EventFile {
  readonly id: FaultQueueId;
  /** Reads whole groups of at most so many faults together; none where there is none. EINVAL: the next group has more. */
  read(count: number): PageFaultRecord[];
  /** Answers a group that was read. EINVAL: there is none with that cookie, or it has been answered. */
  respond(cookie: number, code: number): void;
}

/** The descriptor of a vEVENTQ. */
export interface VeventQueueFile extends EventFile {
  readonly id: VeventQueueId;
  /** Reads at most so many events, each with that length of data; none where there is none. */
  read(dataLength: number, count: number): VeventRecord[];
}

/** An eventfd. */
export interface EventFd extends EventFile {
  /** How often it was signalled since it was last read. */
  read(): bigint;
}
