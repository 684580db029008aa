/** Page requests, on a mock device of the kernel. */

import { readSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Device, FaultQueue, Hwpt, PageFaultGroup } from "../../lib/index.ts";
import { laterThan, PAGE } from "../conformance/backend.ts";
import { APERTURE, MockMachine, WITH_PASID } from "./mock-machine.ts";

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

describe.skipIf(!laterThan(6, 12))("a fault queue", () => {
  beforeEach(() => {
    machine = new MockMachine();
    device = machine.openDevice(WITH_PASID);
    queue = machine.iommufd.allocFaultQueue();
    hwpt = machine.iommufd.allocIoas().allocHwptSync(device, { faultQueue: queue, pasid: true });
    device.attachSync(hwpt);
  });

  afterEach(() => machine.iommufd.close());

  it("tells what a device asks for, and takes the answer once", async () => {
    machine.request("fault", device.id, 0, 3, READ | WRITE, APERTURE + PAGE, 1);
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
    machine.request("fault", device.id, 77, 0x1ff, EXECUTE | PRIVILEGED, 0, 1);
    machine.request("fault", device.id, 77, 1, READ, PAGE, 1);
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
    machine.request("fault", device.id, 0, 1, READ, 0, 200);
    const [first] = await take(1);
    expect(first?.faults[0]?.address).toBe(0n);
    // What was not asked for is in the kernel still: the 65th group can be read there.
    const record = Buffer.alloc(40);
    expect(readSync(queue.fd, record, 0, 40, null)).toBe(40);
    expect(record.readBigUInt64LE(24)).toBe(64n * PAGE);
    const rest = await take(198);
    expect(rest.map(({ faults }) => faults[0]?.address)).toEqual(
      Array.from({ length: 200 }, (_, index) => BigInt(index) * PAGE).filter(
        (_, index) => index % 64 !== 0 || index > 64,
      ),
    );
    for (const group of [...rest, first].reverse()) group?.respond("success");
  });

  it("answers what is open when the device is detached: responding is EINVAL then", async () => {
    machine.request("fault", device.id, 0, 1, READ, 0, 2);
    const [group] = await take(1);
    device.detach();
    expect(() => group?.respond("success")).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });

  it("ends its loops when it is closed, with faults open, and closes what refers to it", async () => {
    machine.request("fault", device.id, 0, 1, READ, 0, 3);
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
