// `npm run bench -- nvme`, in the test machine: random reads of 4 KiB by examples/nvme, and by the kernel's own driver through
// io_uring (fio, of Debian), on the same controller in turn. Figures are the time for one read: a second, divided by the reads
// in a second.
//
// fio does all that spares its side a system call or a copy: it submits and reaps in batches, with registered files and buffers,
// and asks for no times. Without batches it reads half as fast.
//
// The kernel's driver is measured twice. As it comes, the IOMMU translates its DMA, and each read is mapped and unmapped. With an
// identity domain nothing is mapped. examples/nvme maps its memory once.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import process from "node:process";
import { randomReads } from "../dist/examples/nvme/load.js";
import { openController } from "../dist/examples/nvme/pci.js";
import { BDF, bindKernelDriver, bindVfioDriver } from "../test/kernel/nvme-binding.js";
import { printRow } from "./compare.js";

const COMPLETIONS = ["polling", "interrupts"];
const DEPTHS = [1, 8, 64];
const RIVALS = ["kernel, translated", "kernel, identity"];
const RUNS = Number(process.env.RUNS ?? 3);
/** How long one measurement takes. */
const SECONDS = Number(process.env.SECONDS ?? 2);

/** Nanoseconds for one read, run by run. */
const samples = new Map();
function note(who, completions, readsPerSecond) {
  for (const [index, depth] of DEPTHS.entries()) {
    const key = `${who} ${completions} ${depth}`;
    samples.set(key, [...(samples.get(key) ?? []), 1e9 / readsPerSecond[index]]);
  }
}

async function ours(completions) {
  const controller = await openController(BDF, { completions, queues: 1, depth: 128 });
  const results = [];
  try {
    const namespace = await controller.namespace(1);
    for (const depth of DEPTHS)
      results.push((await randomReads(controller, namespace, { depth, seconds: SECONDS })).iops);
  } finally {
    await controller.close();
  }
  return results;
}

function kernel(device, completions) {
  // Without queues for polling the kernel would wait for interrupts, and say nothing.
  if (readFileSync(`/sys/block/${basename(device)}/queue/io_poll`, "utf8").trim() !== "1")
    throw new Error(`${device} has no queue for polling: boot with nvme.poll_queues=1`);
  return DEPTHS.map((depth) => {
    const output = execFileSync("fio", [
      ...["--name=reads", `--filename=${device}`, "--readonly", "--rw=randread", "--bs=4k", "--direct=1"],
      ...["--ioengine=io_uring", `--hipri=${completions === "polling" ? 1 : 0}`, `--iodepth=${depth}`],
      ...[`--iodepth_batch_submit=${depth}`, `--iodepth_batch_complete_max=${depth}`],
      ...["--fixedbufs=1", "--registerfiles=1", "--norandommap", "--gtod_reduce=1"],
      ...["--time_based", `--runtime=${SECONDS}`, "--output-format=json"],
    ]);
    return JSON.parse(output.toString()).jobs[0].read.iops;
  });
}

/** Chooses how the IOMMU translates the kernel's DMA, while no driver has the controller. */
function setDomain(type) {
  writeFileSync("/sys/bus/pci/drivers/vfio-pci/unbind", BDF);
  writeFileSync(`/sys/bus/pci/devices/${BDF}/iommu_group/type`, type);
  writeFileSync("/sys/bus/pci/drivers/vfio-pci/bind", BDF);
}

for (let run = 0; run <= RUNS; run++) {
  for (const completions of COMPLETIONS) {
    const results = await ours(completions);
    // In the first run JavaScript is still being compiled.
    if (run > 0) note("ours", completions, results);
  }
  const [device] = await bindKernelDriver([1]);
  for (const completions of COMPLETIONS) note("kernel, translated", completions, kernel(device, completions));
  bindVfioDriver();
}
// Last: QEMU 7.2 was seen to leave DMA untranslated once a device had used an identity domain, whatever came after.
setDomain("identity");
const [device] = await bindKernelDriver([1]);
for (let run = 0; run < RUNS; run++)
  for (const completions of COMPLETIONS) note("kernel, identity", completions, kernel(device, completions));

for (const completions of COMPLETIONS)
  for (const depth of DEPTHS)
    for (const rival of RIVALS)
      printRow(
        `NVMe, read 4 KiB, ${completions}, ${depth} at a time`,
        samples.get(`ours ${completions} ${depth}`),
        samples.get(`${rival} ${completions} ${depth}`),
        { rival, aim: completions === "polling" && depth === 64 ? 2 : undefined },
      );
