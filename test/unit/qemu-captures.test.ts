/** The plan and the container against what a real QEMU did. */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  Container,
  type DmaMemory,
  type IoctlTrace,
  Iommufd,
  type MemorySection,
  plan,
  readMemoryMap,
} from "../../lib/index.ts";
import { CAPTURES, parseTrace, readCapture, type TraceEvent } from "../fixtures/captures.ts";

/** The mappings, and the sections that were skipped last, when the trace ends. */
function finalState(events: readonly TraceEvent[]) {
  const mapped = new Map<bigint, Extract<TraceEvent, { event: "map" }>>();
  const skipped = new Map<bigint, { start: bigint; last: bigint }>();
  for (const event of events) {
    if (event.event === "map") mapped.set(event.iova, event);
    if (event.event === "unmap") mapped.delete(event.iova);
    if (event.event === "skip") skipped.set(event.start, { start: event.start, last: event.last });
  }
  const byStart = <Value>(entries: Map<bigint, Value>) =>
    [...entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value);
  return { mapped: byStart(mapped), skipped: byStart(skipped) };
}

describe.each(CAPTURES)("%s", (name) => {
  const sections = readMemoryMap(readCapture(name, "mtree"), { source: `${name}.mtree` });
  const events = parseTrace(readCapture(name, "trace"));
  const nesting = events.some((event) => event.event === "hwptAlloc" && event.flags === 1);

  it("was traced with what its name says", () => {
    expect(nesting).toBe(name === "q35-nest");
    expect(events.filter(({ event }) => event === "map").length).toBeGreaterThan(2);
  });

  it("is planned as QEMU mapped and skipped, to the byte", () => {
    const planned = plan(sections, { bypassRo: nesting });
    const qemu = finalState(events);
    expect(
      planned.map.map(({ iova, length, readonly }) => ({ event: "map", iova, length, readonly })),
    ).toEqual(qemu.mapped);
    expect(
      planned.skipped.map(({ section: { start, size } }) => ({ start, last: start + size - 1n })),
    ).toEqual(qemu.skipped);
  });

  describe("replayed through a container", () => {
    let iommufd: Iommufd;
    const calls: TraceEvent[] = [];
    const record = (message: unknown) => calls.push(...asTraceEvent(message as IoctlTrace));

    beforeEach(() => {
      calls.length = 0;
      subscribe("tracing:iommufd:ioctl:asyncEnd", record);
      iommufd = Iommufd.open({ profile: "qemu-vtd" });
    });

    afterEach(() => {
      unsubscribe("tracing:iommufd:ioctl:asyncEnd", record);
      iommufd.close();
    });

    it("makes the calls that QEMU made, with the same ids, in the same order", async () => {
      const device = iommufd.openDevice("0000:00:01.0");
      await using container = new Container(iommufd, { nesting });
      await container.addDevice(device);
      expect(container.bypassRo).toBe(nesting);

      const memory = new Map<string, DmaMemory>();
      for (const event of events) {
        if (event.event !== "add" && event.event !== "skip" && event.event !== "delete") continue;
        const section = sectionFor(event, sections);
        if (!memory.has(section.region)) memory.set(section.region, iommufd.allocMemory(1n << 28n));
        const decision =
          event.event === "delete"
            ? await container.regionDel(section)
            : await container.regionAdd(section, memory.get(section.region));
        expect(
          "reason" in decision,
          JSON.stringify(event, (_, value) => String(value)),
        ).toBe(event.event === "skip");
      }
      expect(calls).toEqual(events.filter(({ event }) => ["map", "unmap", "hwptAlloc"].includes(event)));
    });
  });
});

/** The section of an event: as the flat view has it, or RAM where the flat view was another at that time. */
function sectionFor(
  event: { start: bigint; last: bigint },
  sections: readonly MemorySection[],
): MemorySection {
  const size = event.last - event.start + 1n;
  const known = sections.find((section) => section.start === event.start && section.size === size);
  return (
    known ?? { ...event, size, region: "pc.ram", offsetInRegion: event.start, type: "ram", readonly: false }
  );
}

function asTraceEvent({ syscall, arguments: values, result }: IoctlTrace): TraceEvent[] {
  const [first, iova, length] = values as [never, bigint, bigint];
  if (syscall === "IOMMU_IOAS_MAP") {
    const request = first as { iova: bigint; length: bigint; flags: number };
    return [
      { event: "map", iova: request.iova, length: request.length, readonly: (request.flags & 2) === 0 },
    ];
  }
  if (syscall === "IOMMU_IOAS_UNMAP") return [{ event: "unmap", iova, length }];
  if (syscall === "IOMMU_HWPT_ALLOC") {
    const { deviceId, ptId, flags } = first as { deviceId: number; ptId: number; flags: number };
    return [{ event: "hwptAlloc", deviceId, ptId, flags, hwptId: Number(result) }];
  }
  return [];
}
