// A program that maps for DMA and undoes it, again and again, until somebody kills it: for kills.js and endings.test.ts.
//
//   node victim.js BDF [HOW]     HOW it ends of itself, once it has mappings: exit, abort, throw, worker

import process from "node:process";
import { parentPort, Worker, workerData } from "node:worker_threads";
import { Container, Iommufd } from "../../dist/index.js";

const [bdf, how] = workerData ?? process.argv.slice(2);
const PAGES = 1024n;

if (how === "worker") {
  // The thread is ended in the middle of a call that takes long.
  const worker = new Worker(new URL(import.meta.url), { workerData: [bdf, "loop"] });
  worker.once("message", async () => {
    await worker.terminate();
    console.log("ended");
  });
} else {
  const iommufd = Iommufd.open({ backend: "kernel" });
  const memory = iommufd.allocMemory(PAGES * 4096n);
  /** @type {import("../../dist/index.js").MemorySection[]} */
  const sections = Array.from({ length: 8 }, (_, index) => ({
    start: BigInt(index) * 128n * 4096n,
    size: 128n * 4096n,
    region: "ram",
    offsetInRegion: BigInt(index) * 128n * 4096n,
    type: "ram",
    readonly: false,
  }));
  for (let round = 0; ; round++) {
    const container = new Container(iommufd, { nesting: true });
    const device = iommufd.openDevice(bdf);
    await container.addDevice(device);
    // From the first round on, so that kills fall into all of it.
    if (round === 0) (parentPort ?? process.stdout)[parentPort ? "postMessage" : "write"]("mapping\n");
    await container.apply(sections, () => memory);
    if (how === "exit") process.exit(7);
    if (how === "abort") process.abort();
    if (how === "throw") throw new Error("on purpose");
    await container.close();
    device.close();
  }
}
