// `npm run bench -- nvme-alone`, on any machine: what the driver of examples/nvme takes of a processor for a read, without the
// library, the kernel and a device. Its controller is memory, and completes each command at the ring of a doorbell.
import process from "node:process";
import { Controller } from "../dist/examples/nvme/controller.js";
import { randomReads } from "../dist/examples/nvme/load.js";
import { median } from "./compare.js";

const RUNS = Number(process.env.RUNS ?? 7);

/** Memory by IOVA, in which nothing moves. */
const memories = new Map();
let nextIova = 2 ** 32;
const ioas = {
  closed: false,
  unmapSync() {},
  async map(memory) {
    const iova = nextIova;
    nextIova += memory.buffer.byteLength;
    memories.set(iova, memory.buffer);
    return BigInt(iova);
  },
};
const iommufd = {
  pageSize: 4096,
  allocMemory: (length) => ({ buffer: new ArrayBuffer(Number(length)), close() {} }),
};

/** Registers that were written, and the rings of each queue. */
const values = new Map();
const submissions = new Map();
const completions = new Map();
let doorbells = 0;

const ring = (iova, entries, words) => ({
  words: new Uint32Array(memories.get(iova), 0, entries * words),
  entries,
  at: 0,
  phase: 1,
});

const registers = {
  readUint32: (offset) => (offset === 0x1cn ? values.get(0x14n) & 1 : values.get(offset)),
  // CAP: 1024 entries, half a second to become ready, the NVM command set.
  readUint64: () => 1023n | (1n << 24n) | (1n << 37n),
  writeUint64: (offset, value) => values.set(offset, Number(value)),
  writeUint32(offset, value) {
    values.set(offset, value);
    if (offset === 0x14n && value & 1) {
      const entries = (values.get(0x24n) & 0xfff) + 1;
      submissions.set(0, ring(values.get(0x28n), entries, 16));
      completions.set(0, ring(values.get(0x30n), entries, 4));
    } else if (offset >= 0x1000n && !(offset & 4n)) work(Number(offset - 0x1000n) / 8, value);
  },
};

/** Completes what a doorbell announces. */
function work(id, tail) {
  doorbells++;
  const [commands, done] = [submissions.get(id), completions.get(id)];
  for (; commands.at !== tail; commands.at = (commands.at + 1) % commands.entries) {
    const words = commands.words.subarray(commands.at * 16, commands.at * 16 + 16);
    if (id === 0) administer(words);
    done.words[done.at * 4 + 3] = (words[0] >>> 16) | (done.phase << 16);
    if (++done.at === done.entries) [done.at, done.phase] = [0, done.phase ^ 1];
  }
}

function administer(words) {
  const [opcode, iova, first] = [words[0] & 0xff, words[6] + words[7] * 2 ** 32, words[10]];
  if (opcode === 0x01) submissions.set(first & 0xffff, ring(iova, (first >>> 16) + 1, 16));
  if (opcode === 0x05) completions.set(first & 0xffff, ring(iova, (first >>> 16) + 1, 4));
  if (opcode !== 0x06 || first !== 0) return;
  // A namespace of 2^20 blocks of 512 bytes.
  const identity = new DataView(memories.get(iova));
  identity.setBigUint64(0, 1n << 20n, true);
  identity.setUint8(130, 9);
}

/** @type {any} */
const transport = {
  ...{ registers, iommufd, ioas, interrupts: 0 },
  ...{ enableInterrupts: () => [], reset() {}, block() {}, close() {} },
};
const controller = await Controller.start(transport, { queues: 1, depth: 128 });
const namespace = await controller.namespace(1);
for (const depth of [1, 8, 64]) {
  const costs = [];
  let reads = 0;
  doorbells = 0;
  // The first run is not counted: JavaScript is still being compiled.
  for (let run = 0; run <= RUNS; run++) {
    const before = process.cpuUsage();
    const measured = await randomReads(controller, namespace, { depth, seconds: 1 });
    const { user, system } = process.cpuUsage(before);
    reads += measured.reads;
    if (run > 0) costs.push((user + system) / measured.reads);
  }
  const each = `${median(costs).toFixed(2)} us of a processor for a read`;
  console.log(
    `${String(depth).padStart(2)} at a time: ${each}, ${(reads / doorbells).toFixed(1)} reads a doorbell`,
  );
}
process.exit();
