/** Streams of events: what no hardware at hand sends, given by a file that stands in for the kernel's. */

import { describe, expect, it } from "vitest";
import type { IommufdFile } from "../../lib/backend/backend.ts";
import type { VeventQueueFile } from "../../lib/backend/handles.ts";
import { FaultQueueObject, SoftwareFaultQueueFile } from "../../lib/backend/software/fault-queue.ts";
import { FaultQueue, Iommufd, type PageFaultGroup, type Vevent } from "../../lib/index.ts";
import { VeventQueue, type VeventQueueType } from "../../lib/iommufd/vevent-queue.ts";
import type { DeviceId, VeventQueueId, VeventRecord, ViommuId } from "../../lib/uapi.ts";

const fault = (address: bigint) => ({
  flags: 0,
  deviceId: 1 as DeviceId,
  pasid: 0,
  groupId: 5,
  permissions: 1,
  address,
  length: 0,
});

describe("a fault queue", () => {
  const object = new FaultQueueObject();
  object.id = 7;
  const file = {
    faultQueueAlloc: () => new SoftwareFaultQueueFile(object, () => {}),
    destroy: () => object.destroy(),
  };

  it("yields groups of any size whole, and gives each its answer", async () => {
    using iommufd = Iommufd.open({ profile: "qemu-vtd" });
    const queue = new FaultQueue(file as unknown as IommufdFile, iommufd);
    const big = object.report(Array.from({ length: 500 }, (_, index) => fault(BigInt(index) << 12n)));
    const small = object.report([fault(1n), fault(2n)]);
    const never = object.report([fault(3n)]);
    const groups: PageFaultGroup[] = [];
    for await (const group of queue) if (groups.push(group) === 2) break;
    expect(groups.map(({ faults }) => faults.length)).toEqual([500, 2]);
    expect(groups[0]?.faults[499]?.address).toBe(499n << 12n);
    groups[1]?.respond("invalid");
    groups[0]?.respond("success");
    expect(await Promise.all([big, small])).toEqual([0, 1]);
    expect(() => groups[0]?.respond("success")).toThrow(expect.objectContaining({ code: "EINVAL" }));
    queue.close();
    expect(await never, "whoever still waits is told that it failed").toBe(1);
  });
});

describe("a vEVENTQ", () => {
  /** The events that a queue yields for records. */
  async function events(type: VeventQueueType, records: VeventRecord[]): Promise<Vevent[]> {
    using iommufd = Iommufd.open({ profile: "qemu-vtd" });
    const file: VeventQueueFile = {
      id: 1 as VeventQueueId,
      fd: () => -1,
      readable: async () => true,
      read: (_length, count) => records.splice(0, count),
      close: () => {},
    };
    const alloc = { veventqAlloc: () => file, destroy: () => {} } as unknown as IommufdFile;
    const queue = new VeventQueue(alloc, iommufd, 1 as ViommuId, { type, depth: 4 });
    const yielded: Vevent[] = [];
    const count = records.length;
    for await (const event of queue) if (yielded.push(event) === count) break;
    return yielded;
  }

  const record = (sequence: number, words: bigint[], flags = 0) => ({
    flags,
    sequence,
    data: new Uint8Array(BigUint64Array.from(words).buffer),
  });

  it("reads the records of an SMMU", async () => {
    const translation = 0x10n | (1n << 11n) | (0x12345n << 12n) | (0x9_0000n << 32n);
    expect(
      await events("arm-smmuv3", [record(0, [translation, 1n, 2n, 3n]), record(1, [0x4n, 0n, 0n, 0n])]),
    ).toEqual([
      {
        type: "arm-smmuv3",
        sequence: 0,
        lost: 0,
        eventId: 0x10,
        streamId: 0x9_0000,
        substreamId: 0x12345,
        record: [translation, 1n, 2n, 3n],
      },
      expect.objectContaining({ eventId: 4, substreamId: undefined }),
    ]);
  });

  it("reads the error map of a CMDQV", async () => {
    expect(await events("tegra241-cmdqv", [record(0, [5n, 1n << 63n])])).toEqual([
      { type: "tegra241-cmdqv", sequence: 0, lost: 0, errorMap: [5n, 1n << 63n] },
    ]);
  });

  it("counts what was lost, also where the numbers begin again", async () => {
    const max = 2 ** 31 - 1;
    expect(
      await events({ type: 9, dataLength: 8 }, [
        record(3, [1n]),
        record(max - 1, [2n]),
        record(1, [3n]),
        record(2, [], 1),
        record(3, [4n]),
      ]),
    ).toMatchObject([
      { type: 9, lost: 3 },
      { lost: max - 5 },
      { lost: 2 },
      { type: "lost", lost: 1 },
      { lost: 0, data: new Uint8Array([4, 0, 0, 0, 0, 0, 0, 0]) },
    ]);
  });
});
