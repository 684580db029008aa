// `npm run bench -- kernel`, in the test machine: the same work on the real kernel, by the library and by C.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { KernelBackend } from "../dist/backend/kernel/kernel-backend.js";
import { wrap } from "../dist/backend/wrapper.js";
import { Iommufd, softwareMachine } from "../dist/index.js";
import { compare, loadC, time } from "./compare.js";

const [BDF] = new KernelBackend().vfioDevices();
const KIB = 1024n;
const MIB = 1024n * KIB;
const c = loadC();

/**
 * Work on an address space with a device attached, and memory. Both are let go at once: the test machine has 3 GiB.
 *
 * @param {bigint} length of the memory
 * @param {(attached: { iommufd: Iommufd, device: import("../dist/index.js").Device, ioas: import("../dist/index.js").Ioas,
 *   memory: import("../dist/index.js").DmaMemory }) => unknown} work
 */
async function attached(length, work, populate = true) {
  const iommufd = Iommufd.open({ backend: "kernel" });
  let memory;
  try {
    const device = iommufd.openDevice(BDF);
    const ioas = iommufd.allocIoas();
    device.attachSync(ioas);
    memory = iommufd.allocMemory(length);
    if (populate) new Uint8Array(memory.buffer).fill(1);
    return await work({ iommufd, device, ioas, memory });
  } finally {
    iommufd.close();
    memory?.close();
  }
}

for (const { name, length, count, blocks, aim, others = 0 } of [
  { name: "4 KiB", length: 4n * KIB, count: 50, blocks: 400, aim: 1.5 },
  { name: "2 MiB", length: 2n * MIB, count: 4, blocks: 100, aim: 1.05 },
  { name: "1 GiB", length: 1024n * MIB, count: 1, blocks: 7, aim: 1.05 },
  // A driver that maps and unmaps for each of its requests, while others are under way. Last, because it scatters the free memory
  // of the machine: pages that lie apart take the kernel three times as long to map.
  { name: "4 KiB, beside 10,000 others", length: 4n * KIB, count: 50, blocks: 400, others: 10_000 },
]) {
  await attached(length, ({ iommufd, ioas, memory }) => {
    const each = (value) => BigUint64Array.from({ length: others }, (_, i) => value(BigInt(i)));
    ioas.mapManySync(memory, {
      iovas: each((i) => (1n << 32n) + 2n * i * length),
      offsets: each(() => 0n),
      lengths: each(() => length),
    });
    const bytes = new Uint8Array(memory.buffer);
    return compare(
      `map and unmap ${name}`,
      () =>
        time(count, () => {
          for (let i = 0; i < count; i++) {
            ioas.mapSync(memory, { iova: 0n });
            ioas.unmapSync(0n, length);
          }
        }),
      () => c.mapUnmap(iommufd.fd, ioas.id, bytes, length, count),
      { blocks, aim },
    );
  });
}

const BATCH = 500;
await attached(BigInt(BATCH) * 4n * KIB, ({ iommufd, ioas, memory }) => {
  const each = (value) => BigUint64Array.from({ length: BATCH }, (_, i) => value(BigInt(i)));
  const offsets = each((i) => i * 4n * KIB);
  const ranges = { iovas: offsets, offsets, lengths: each(() => 4n * KIB) };
  const bytes = new Uint8Array(memory.buffer);
  return compare(
    `map and unmap 4 KiB, ${BATCH} at once`,
    () =>
      time(BATCH, () => {
        ioas.mapManySync(memory, ranges);
        ioas.unmapManySync(ranges);
      }),
    () => c.mapThenUnmap(iommufd.fd, ioas.id, bytes, 4n * KIB, BATCH),
    { blocks: 50, aim: 1.1 },
  );
});

const QUERIES = 100;
await attached(4n * KIB, ({ iommufd, device }) =>
  compare(
    "`hwInfo()`",
    () =>
      time(QUERIES, () => {
        for (let i = 0; i < QUERIES; i++) device.hwInfo();
      }),
    () => c.getHwInfo(iommufd.fd, device.id, QUERIES),
    { blocks: 400, aim: 2 },
  ),
);

/**
 * 64 GiB of IOVA that are tracked, on a mock device of the kernel whose page table has huge pages: 1 GiB of memory,
 * mapped 64 times. QEMU's VT-d tracks nothing.
 */
{
  const HUGE_PAGES = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
  const [PASSES, START] = [8, 0n];
  writeFileSync(HUGE_PAGES, "512");
  const backend = wrap(new KernelBackend());
  const file = backend.openIommufd();
  const ioasId = file.ioasAlloc();
  /** @type {import("node:child_process").StdioOptions} */
  const stdio = ["ignore", "pipe", "inherit", file.fd()];
  const mock = new URL("../build/test/mock-device", import.meta.url).pathname;
  const made = execFileSync(mock, ["device", String(file.ioasAlloc()), "0"], { stdio, encoding: "utf8" });
  const deviceId = /** @type {import("../dist/index.js").DeviceId} */ (Number(made.split(" ")[1]));
  // struct iommu_hwpt_selftest: MOCK_IOMMUPT_HUGE; IOMMU_HWPT_ALLOC_DIRTY_TRACKING
  const data = { type: 0xdead, bytes: new Uint8Array(Uint32Array.of(0, 1).buffer) };
  const hwptId = file.hwptAllocSync({ deviceId, ptId: ioasId, flags: 2, data });
  const memory = backend.allocMemory({ length: 1024n * MIB, pageSize: 2n * MIB, anonymous: false });
  for (let i = 0n; i < 64n; i++) {
    const iova = START + i * 1024n * MIB;
    file.ioasMapSync({ ioasId, flags: 7, memory, offset: 0n, length: 1024n * MIB, iova });
  }
  file.hwptSetDirtyTracking(hwptId, true);
  const length = 65536n * MIB;
  const request = { hwptId, flags: 0, iova: START, length, pageSize: 4096n };
  await compare(
    "dirty bitmap of 64 GiB in pages of 4 KiB",
    async () => {
      // The arrays of before are freed now, by another thread, and not while one is measured.
      globalThis.gc?.();
      await new Promise((resolve) => setTimeout(resolve, 20));
      return time(PASSES, () => {
        for (let i = 0; i < PASSES; i++) file.hwptGetDirtyBitmapSync(request);
      });
    },
    () => c.getDirtyBitmap(file.fd(), hwptId, START, length, PASSES),
    { blocks: 50, aim: 1.05 },
  );
  file.close();
  memory.close();
  writeFileSync(HUGE_PAGES, "0");
}

/** The same sequence on the model and on the kernel, below the objects: map in order, unmap at random. */
async function sequence(backend) {
  const [COUNT, PAGE, START] = [1000, 4n * KIB, 1n << 32n];
  const file = backend.openIommufd();
  const device = backend.openVfioDevice(backend.findVfioDevice(BDF).cdev);
  device.bindIommufd(file);
  const ioasId = file.ioasAlloc();
  device.attachIommufdPtSync(ioasId);
  const memory = backend.allocMemory({ length: PAGE, pageSize: PAGE, anonymous: false });
  const iova = (index) => START + BigInt(index) * 2n * PAGE;
  const once = () => {
    for (let i = 0; i < COUNT; i++)
      file.ioasMapSync({ ioasId, flags: 7, memory, offset: 0n, length: PAGE, iova: iova(i) });
    for (let i = 0; i < COUNT; i++) file.ioasUnmapSync(ioasId, iova((i * 7919) % COUNT), PAGE);
  };
  const result = await time(COUNT * 2, once);
  device.close();
  file.close();
  memory.close();
  return result;
}

await compare(
  "the model: map 1000, unmap at random",
  () => sequence(softwareMachine("qemu-vtd").backend),
  () => sequence(wrap(new KernelBackend())),
  { rival: "kernel", blocks: 20 },
);

/** The longest that a 5 ms timer was late while memory was being mapped that has yet to be populated. */
async function worstDelay(map) {
  const work = async ({ ioas, memory }) => {
    let last = performance.now();
    let worst = 0;
    const timer = setInterval(() => {
      const now = performance.now();
      worst = Math.max(worst, now - last - 5);
      last = now;
    }, 5);
    const start = performance.now();
    await map(ioas, memory);
    const took = performance.now() - start;
    await new Promise((resolve) => setTimeout(resolve, 10));
    clearInterval(timer);
    return `took ${took.toFixed(0)} ms, the timer was at worst ${worst.toFixed(0)} ms late`;
  };
  return attached(2048n * MIB, work, false);
}

console.log("a 5 ms timer while 2 GiB are mapped:");
console.log(`  map():     ${await worstDelay((ioas, memory) => ioas.map(memory))}`);
console.log(`  mapSync(): ${await worstDelay((ioas, memory) => ioas.mapSync(memory))}`);
