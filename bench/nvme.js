// `npm run bench -- nvme`, in the test machine: random reads of 4 KiB by examples/nvme, and by the kernel's own driver through
// io_uring (fio, of Debian), on the same controller in turn.
import { execFileSync } from "node:child_process";
import process from "node:process";
import { randomReads } from "../dist/examples/nvme/load.js";
import { openController } from "../dist/examples/nvme/pci.js";
import { BDF, bindKernelDriver, bindVfioDriver } from "../test/kernel/nvme-binding.js";
import { median } from "./compare.js";

const DEPTHS = [1, 8, 64];
const RUNS = Number(process.env.RUNS ?? 3);
/** How long one measurement takes. */
const SECONDS = Number(process.env.SECONDS ?? 2);

const results = new Map();
function note(who, how, depth, iops) {
  const key = `${how} ${depth}`;
  const entry = results.get(key) ?? { how, depth, ours: [], kernel: [] };
  results.set(key, entry);
  entry[who].push(iops);
}

async function ours(completions, count) {
  const controller = await openController(BDF, { completions, queues: 1, depth: 128 });
  try {
    const namespace = await controller.namespace(1);
    for (const depth of DEPTHS) {
      const { iops } = await randomReads(controller, namespace, { depth, seconds: SECONDS });
      // In the first run JavaScript is still being compiled.
      if (count > 0) note("ours", completions, depth, iops);
    }
  } finally {
    await controller.close();
  }
}

function kernel(device, completions, count) {
  for (const depth of DEPTHS) {
    const output = execFileSync("fio", [
      ...["--name=reads", `--filename=${device}`, "--readonly", "--rw=randread", "--bs=4k", "--direct=1"],
      ...["--ioengine=io_uring", `--hipri=${completions === "polling" ? 1 : 0}`, `--iodepth=${depth}`],
      ...["--time_based", `--runtime=${SECONDS}`, "--output-format=json"],
    ]);
    if (count > 0) note("kernel", completions, depth, JSON.parse(output.toString()).jobs[0].read.iops);
  }
}

for (let count = 0; count <= RUNS; count++) {
  for (const completions of ["polling", "interrupts"]) await ours(completions, count);
  const [device] = await bindKernelDriver([1]);
  for (const completions of ["polling", "interrupts"]) kernel(device, completions, count);
  bindVfioDriver();
}

for (const { how, depth, ours: mine, kernel: theirs } of results.values()) {
  const [a, b] = [median(mine), median(theirs)];
  const figures = `${Math.round(a)} a second  kernel ${Math.round(b)}  ratio ${(a / b).toFixed(2)}`;
  console.log(`${how.padEnd(10)} ${String(depth).padStart(2)} at a time: ${figures}`);
}
