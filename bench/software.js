// `npm run bench -- software`: the model's operations per second and memory, by how many mappings there are.
import process from "node:process";
import { Iommufd, softwareMachine } from "../dist/index.js";

const PAGE = 4096n;
const RUNS = Number(process.env.RUNS ?? 3);
const SIZES = (process.env.SIZES ?? "1000,10000,100000,1000000").split(",").map(Number);

/** 0 to count-1, mixed up, the same each time. */
function shuffled(count) {
  const order = Float64Array.from({ length: count }, (_, index) => index);
  let state = 1;
  for (let i = count - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = state % (i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** One run: microseconds of each operation, and bytes a mapping. */
async function run(count, order) {
  const host = softwareMachine("qemu-vtd");
  const file = host.backend.openIommufd();
  const device = host.backend.openVfioDevice(host.backend.findVfioDevice("0000:00:01.0").cdev);
  device.bindIommufd(file);
  const ioasId = file.ioasAlloc();
  device.attachIommufdPtSync(ioasId);
  const memory = host.backend.allocMemory({ length: PAGE, pageSize: PAGE, anonymous: false });
  const map = (index) => {
    // Beyond the interrupt range.
    const iova = (1n << 32n) + BigInt(index) * 2n * PAGE;
    file.ioasMapSync({ ioasId, flags: 7, memory, offset: 0n, length: PAGE, iova });
  };
  const unmap = (index) => file.ioasUnmapSync(ioasId, (1n << 32n) + BigInt(index) * 2n * PAGE, PAGE);
  const results = {};
  const time = (name, work) => {
    const start = process.hrtime.bigint();
    for (let i = 0; i < count; i++) work(i);
    results[name] = Number(process.hrtime.bigint() - start) / 1000 / count;
  };
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  time("map in order", map);
  globalThis.gc?.();
  results.bytes = (process.memoryUsage().heapUsed - before) / count;
  const lookups = Math.min(count, 10_000);
  const started = process.hrtime.bigint();
  for (let i = 0; i < lookups; i++)
    await host.dmaRead("0000:00:01.0", (1n << 32n) + BigInt(order[i]) * 2n * PAGE, 8);
  results["look up, by DMA"] = Number(process.hrtime.bigint() - started) / 1000 / lookups;
  time("unmap in order", unmap);
  time("map at random", (i) => map(order[i]));
  time("unmap at random", (i) => unmap(order[count - 1 - i]));
  for (let i = 0; i < count; i++) map(i);
  const start = process.hrtime.bigint();
  file.ioasUnmapSync(ioasId, 0n, (1n << 64n) - 1n);
  results["unmap all at once"] = Number(process.hrtime.bigint() - start) / 1000 / count;
  return results;
}

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
const columns = [];
for (const count of SIZES) {
  const order = shuffled(count);
  const runs = [];
  for (let i = 0; i < RUNS; i++) runs.push(await run(count, order));
  const names = Object.keys(runs[0]);
  columns.push(Object.fromEntries(names.map((name) => [name, median(runs.map((each) => each[name]))])));
}
console.log(
  `${"operations per second, with mappings:".padEnd(40)}${SIZES.map((n) => String(n).padStart(12)).join("")}`,
);
for (const name of Object.keys(columns[0])) {
  const label = name === "bytes" ? "bytes of memory a mapping" : name;
  const cells = columns.map((column) =>
    name === "bytes"
      ? globalThis.gc
        ? column.bytes.toFixed(0)
        : "-"
      : Math.round(1e6 / column[name]).toLocaleString("en"),
  );
  console.log(`${label.padEnd(40)}${cells.map((cell) => cell.padStart(12)).join("")}`);
}

/** DMA through a guest's page table of four levels and the mappings of the second stage: translations a second. */
async function twoStages() {
  const host = softwareMachine("sapphire-rapids");
  const iommufd = Iommufd.open(host);
  const device = iommufd.openDevice("0000:6a:01.0");
  const ioas = iommufd.allocIoas();
  const parent = ioas.allocHwptSync(device, { nestParent: true });
  const pages = 512;
  const ram = iommufd.allocMemory(BigInt(pages + 4) * PAGE);
  // A mapping a page: each step of the walk looks for one of them.
  for (let page = 0n; page < pages + 4; page++)
    ioas.mapSync(ram, { iova: page * PAGE, offset: page * PAGE, length: PAGE });
  const entries = new BigUint64Array(ram.buffer, pages * 4096);
  const table = BigInt(pages) * PAGE;
  for (const level of [0, 1, 2]) entries[level * 512] = (table + BigInt(level + 1) * PAGE) | 3n;
  for (let page = 0; page < pages; page++) entries[3 * 512 + page] = (BigInt(page) * PAGE) | 3n;
  const guest = /** @type {const} */ ({ type: "vtd-s1", flags: 0n, pgtblAddr: table, addrWidth: 48 });
  device.attachSync(parent.allocNestedSync(device, guest));
  const order = shuffled(pages);
  const rates = [];
  for (let run = 0; run < RUNS * 5; run++) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < pages * 10; i++) {
      await host.dmaRead("0000:6a:01.0", BigInt(order[i % pages]) * PAGE, 8);
    }
    rates.push((pages * 10 * 1e9) / Number(process.hrtime.bigint() - start));
  }
  iommufd.close();
  return Math.max(...rates);
}

console.log(`DMA through two stages, a second: ${Math.round(await twoStages()).toLocaleString("en")}`);
