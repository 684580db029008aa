/** Enabling, disabling and shutting down: what is done with CC, and waited for in CSTS (sections 3.5 and 3.6). */

import { setTimeout } from "node:timers/promises";
import { NvmeError } from "./errors.ts";
import type { QueuePair } from "./queue.ts";
import {
  ACQ,
  AQA,
  ASQ,
  type Capabilities,
  CC,
  CC_ENABLE,
  CC_SHUTDOWN,
  CSTS,
  CSTS_FATAL,
  CSTS_READY,
  CSTS_SHUTDOWN_COMPLETE,
  CSTS_SHUTDOWN_MASK,
  enabled,
  GONE,
  type Registers,
} from "./registers.ts";

/** How long a shutdown may take if the controller does not say, in milliseconds. */
const SHUTDOWN_TIMEOUT = 10_000;

/** Enables a controller that is disabled, with an empty admin queue. */
export async function enable(
  registers: Registers,
  capabilities: Capabilities,
  admin: QueuePair,
): Promise<void> {
  const last = admin.depth - 1;
  registers.writeUint32(AQA, last | (last << 16));
  registers.writeUint64(ASQ, BigInt(admin.submissionIova));
  registers.writeUint64(ACQ, BigInt(admin.completionIova));
  admin.clear();
  registers.writeUint32(CC, enabled(capabilities));
  await until(registers, CSTS_READY, CSTS_READY, capabilities.readyTimeout, "become ready");
  admin.start();
}

/** Disables a controller. From then on it does no DMA, and its queues are gone. */
export async function disable(registers: Registers, { readyTimeout }: Capabilities): Promise<void> {
  registers.writeUint32(CC, (registers.readUint32(CC) & ~CC_ENABLE) >>> 0);
  await until(registers, CSTS_READY, 0, readyTimeout, "stop");
}

/**
 * Announces to a controller that power may go: it writes its caches.
 *
 * @param timeout how long it says that this takes, in milliseconds; 0 where it does not say
 */
export async function shutDown(registers: Registers, timeout: number): Promise<void> {
  registers.writeUint32(CC, registers.readUint32(CC) | CC_SHUTDOWN);
  const limit = timeout || SHUTDOWN_TIMEOUT;
  await until(registers, CSTS_SHUTDOWN_MASK, CSTS_SHUTDOWN_COMPLETE, limit, "shut down");
}

/** Waits for bits of CSTS. */
async function until(registers: Registers, mask: number, value: number, timeout: number, what: string) {
  for (const start = performance.now(); ; ) {
    const late = performance.now() - start > timeout;
    const status = registers.readUint32(CSTS);
    if (status === GONE) throw new NvmeError("ERR_NVME_FAILED", "the controller is gone");
    if ((status & mask) === value) return;
    // While it stops, the fatal status of before is still there.
    if (value === CSTS_READY && status & CSTS_FATAL)
      throw new NvmeError("ERR_NVME_FAILED", "the controller failed (CSTS.CFS) while it was enabled");
    if (late) throw new NvmeError("ERR_NVME_FAILED", `the controller did not ${what} within ${timeout} ms`);
    await setTimeout(1);
  }
}
