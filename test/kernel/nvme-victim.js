// Writes to the disk of the machine "nvme", 64 requests at a time, round by round, with a flush after each; until it is killed
// or has done its rounds. It says when a round begins and when it was flushed.
//
//   node test/kernel/nvme-victim.js BDF SEED ROUND ROUNDS WRITES        it begins when something comes in
import { once } from "node:events";
import { writeSync } from "node:fs";
import process from "node:process";
import { openController } from "../../dist/examples/nvme/pci.js";
import { contentOf, LENGTH, placesOf } from "./nvme-writes.js";

const IN_FLIGHT = 64;
const [bdf, seed, ...numbers] = process.argv.slice(2);
const [first, rounds, writes] = numbers.map(Number);

// Before it is told to begin: to start takes longer than all else.
writeSync(1, "ready\n");
await once(process.stdin, "data");
process.stdin.pause();

const controller = await openController(bdf, { queues: 2 });
const namespace = await controller.namespace(1);
const blocks = LENGTH / namespace.blockSize;
const buffer = await controller.allocate(IN_FLIGHT * LENGTH);
for (let round = first; round < first + rounds; round++) {
  writeSync(1, `begun ${round}\n`);
  const places = placesOf(seed, round, writes, namespace.blocks / blocks).values();
  const worker = async (_, slot) => {
    for (const place of places) {
      buffer.bytes.set(contentOf(seed, round, place), slot * LENGTH);
      await namespace.writeBlocks(place * blocks, blocks, buffer, slot * LENGTH);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  await namespace.flush();
  writeSync(1, `flushed ${round}\n`);
}
await controller.close();
