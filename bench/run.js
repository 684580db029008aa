// `npm run bench -- NAME`, or without a name all of them, one after the other. At the end: the machine, and one table of all
// comparisons.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpus, release } from "node:os";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { compile, HEADER } from "./compare.js";

const project = fileURLToPath(new URL("..", import.meta.url));

/** Arguments of Node.js for each name. */
const BENCHES = {
  startup: ["bench/startup.js"],
  plan: ["bench/plan.js"],
  apply: ["test/kernel/boot.js", "--", "node", "bench/apply.js"],
  check: ["test/kernel/boot.js", "--", "node", "bench/check.js"],
  "refused-ioctl": ["bench/refused-ioctl.js"],
  interrupts: ["bench/interrupts.js"],
  // Memory for each bitmap is fresh: without a fixed threshold, malloc keeps what was freed by a rule that changes as it runs.
  kernel: [
    "test/kernel/boot.js",
    "--",
    "env",
    "MALLOC_MMAP_THRESHOLD_=1048576",
    "node",
    "--expose-gc",
    "bench/kernel.js",
  ],
  software: ["--expose-gc", "bench/software.js"],
  "nvme-alone": ["bench/nvme-alone.js"],
  nvme: ["test/kernel/boot.js", "--", "node", "bench/nvme.js"],
};
/** Benches that need another test machine than the usual one. */
const MACHINES = { nvme: "nvme" };

const names = process.argv.slice(2);
const unknown = names.find((name) => !Object.hasOwn(BENCHES, name));
if (unknown !== undefined) {
  console.error(`bench: no bench ${JSON.stringify(unknown)}; there are ${Object.keys(BENCHES).join(", ")}`);
  process.exit(2);
}
// Before the test machine boots: its root file system is read-only.
compile();
const rows = [];
for (const [name, command] of Object.entries(BENCHES)) {
  if (names.length > 0 && !names.includes(name)) continue;
  console.log(`\n== ${name}`);
  const env = { ...process.env, IOMMUFD_TEST_MACHINE: MACHINES[name] ?? "" };
  const bench = spawn(process.execPath, command, {
    cwd: project,
    stdio: ["ignore", "pipe", "inherit"],
    env,
  });
  const ended = once(bench, "close");
  for await (const line of createInterface({ input: bench.stdout })) {
    console.log(line);
    // The serial console of the test machine ends lines its own way.
    if (line.startsWith("| ") && !HEADER.includes(line.trimEnd())) rows.push(line.trimEnd());
  }
  const [status] = await ended;
  if (status !== 0) process.exitCode = 1;
}
if (rows.length > 0) {
  const processors = cpus();
  console.log(
    `\n${processors.length} processors ${processors[0]?.model}, Linux ${release()}, Node.js ${process.version}\n`,
  );
  console.log([...HEADER, ...rows].join("\n"));
}
