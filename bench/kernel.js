// `npm run bench:kernel`, in the test machine: the same work on the real kernel, by the library and by C.
import { readdirSync } from "node:fs";
import { Iommufd } from "../dist/index.js";
import { cLoop, compare, time } from "./compare.js";

const [BDF] = readdirSync("/sys/bus/pci/drivers/vfio-pci").filter((name) => name.startsWith("0000:"));
const KIB = 1024n;
const MIB = 1024n * KIB;

/**
 * Work on an address space with a device attached and populated memory, as the C loop has them. Both are let go at
 * once: the test machine has 3 GiB.
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
    return await work({ device, ioas, memory, cdev: iommufd.cdevOf(BDF) });
  } finally {
    iommufd.close();
    memory?.close();
  }
}

const cdev = await attached(4n * KIB, ({ cdev }) => cdev);

for (const [name, length, count] of [
  ["4 KiB", 4n * KIB, 2000],
  ["2 MiB", 2n * MIB, 100],
  ["1 GiB", 1024n * MIB, 1],
]) {
  await compare(
    `map and unmap ${name}, sync`,
    () =>
      attached(length, ({ ioas, memory }) =>
        time(count, () => {
          for (let i = 0; i < count; i++) {
            ioas.mapSync(memory, { iova: 0n });
            ioas.unmapSync(0n, length);
          }
        }),
      ),
    () => cLoop("map", length, count, cdev),
  );
}

const BATCH = 2000;
await compare(
  `map and unmap 4 KiB, batches of ${BATCH}`,
  () =>
    attached(BigInt(BATCH) * 4n * KIB, ({ ioas, memory }) => {
      const each = (value) => BigUint64Array.from({ length: BATCH }, (_, i) => value(BigInt(i)));
      const offsets = each((i) => i * 4n * KIB);
      const ranges = { iovas: offsets, offsets, lengths: each(() => 4n * KIB) };
      return time(BATCH, () => {
        ioas.mapManySync(memory, ranges);
        ioas.unmapManySync(ranges);
      });
    }),
  () => cLoop("batch", 4n * KIB, BATCH, cdev),
);

const QUERIES = 5000;
await compare(
  "get hw info",
  () =>
    attached(4n * KIB, ({ device }) =>
      time(QUERIES, () => {
        for (let i = 0; i < QUERIES; i++) device.hwInfo();
      }),
    ),
  () => cLoop("hw-info", QUERIES, cdev),
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
  return attached(1024n * MIB, work, false);
}

console.log("a 5 ms timer while 1 GiB is mapped:");
console.log(`  map():     ${await worstDelay((ioas, memory) => ioas.map(memory))}`);
console.log(`  mapSync(): ${await worstDelay((ioas, memory) => ioas.mapSync(memory))}`);
