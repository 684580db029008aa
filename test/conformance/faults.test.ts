/** Page requests, on a mock device. */

import { readSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Device, FaultQueue, Hwpt, PageFaultGroup } from "../../lib/index.ts";
import { backendName, laterThan, PAGE } from "./backend.ts";
import { lacks } from "./iommus.ts";
import { APERTURE, type MockMachine, openMockMachine } from "./mock-machine.ts";

const [READ, WRITE, EXECUTE, PRIVILEGED] = [1, 2, 4, 8] as const;

let machine: MockMachine;
let device: Device;
let queue: FaultQueue;
let hwpt: Hwpt;

/** The next groups. */
async function take(count: number): Promise<PageFaultGroup[]> {
  const groups: PageFaultGroup[] = [];
  for await (const group of queue) if (groups.push(group) === count) break;
  return groups;
}

describe.skipIf(lacks.mocks || !laterThan(6, 12))(`a fault queue (${backendName})`, () => {
  beforeEach(() => {
    machine = openMockMachine();
    device = machine.openDevice({ pasid: true });
    queue = machine.iommufd.allocFaultQueue();
    hwpt = machine.iommufd.allocIoas().allocHwptSync(device, { faultQueue: queue, pasid: true });
    device.attachSync(hwpt);
  });

  afterEach(() => machine.iommufd.close());

  it("tells what a device asks for, and takes the answer once", async () => {
    machine.fault(device, { groupId: 3, permissions: READ | WRITE, address: APERTURE + PAGE });
    const [group] = await take(1);
    expect(group).toMatchObject({
      deviceId: device.id,
      pasid: undefined,
      groupId: 3,
      faults: [
        {
          address: APERTURE + PAGE,
          permissions: { read: true, write: true, execute: false, privileged: false },
          length: 0,
        },
      ],
    });
    group?.respond("success");
    expect(() => group?.respond("success")).toThrow(
      expect.objectContaining({ code: "EINVAL", syscall: "write" }),
    );
    expect(() => group?.respond("maybe" as never)).toThrow(RangeError);
  });

  it("tells of PASIDs, and waits for what comes later", async () => {
    device.attachSync(hwpt, { pasid: 77 });
    const groups = take(2);
    await new Promise((resolve) => setTimeout(resolve, 50));
    machine.fault(device, { pasid: 77, groupId: 0x1ff, permissions: EXECUTE | PRIVILEGED, address: 0n });
    machine.fault(device, { pasid: 77, groupId: 1, permissions: READ, address: PAGE });
    const [first, second] = await groups;
    expect(first).toMatchObject({
      pasid: 77,
      groupId: 0x1ff,
      faults: [{ permissions: { read: false, write: false, execute: true, privileged: true } }],
    });
    second?.respond("invalid");
    first?.respond("success");
  });

  it("holds up what nobody asks for, in the kernel, and keeps the order", async () => {
    machine.fault(device, { groupId: 1, permissions: READ, address: 0n, count: 200 });
    const [first] = await take(1);
    expect(first?.faults[0]?.address).toBe(0n);
    // Groups that were not read yet are still in the kernel: the 65th group can be read there.
    const stolen = backendName === "kernel" ? 64 : undefined;
    if (stolen !== undefined) {
      const record = Buffer.alloc(40);
      expect(readSync(queue.fd, record, 0, 40, null)).toBe(40);
      expect(record.readBigUInt64LE(24)).toBe(BigInt(stolen) * PAGE);
    }
    const expected = Array.from({ length: 199 }, (_, index) => index + 1).filter((index) => index !== stolen);
    const rest = await take(expected.length);
    expect(rest.map(({ faults }) => faults[0]?.address)).toEqual(
      expected.map((index) => BigInt(index) * PAGE),
    );
    for (const group of [...rest, first].reverse()) group?.respond("success");
  });

  it("answers what is open when the device is detached: responding is EINVAL then", async () => {
    machine.fault(device, { groupId: 1, permissions: READ, address: 0n, count: 2 });
    const [group] = await take(1);
    device.detach();
    expect(() => group?.respond("success")).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });

  it("ends its loops when it is closed, with faults open, and closes what refers to it", async () => {
    machine.fault(device, { groupId: 1, permissions: READ, address: 0n, count: 3 });
    const groups: PageFaultGroup[] = [];
    const loop = (async () => {
      for await (const group of queue) groups.push(group);
    })();
    while (groups.length < 3) await new Promise((resolve) => setTimeout(resolve, 1));
    queue.close();
    await loop;
    expect(groups.length).toBe(3);
    expect([hwpt.closed, device.attachedTo]).toEqual([true, undefined]);
    expect(() => groups[0]?.respond("success")).toThrow(
      expect.objectContaining({ code: "ERR_IOMMUFD_CLOSED" }),
    );
  });
});
