// `npm run bench -- NAME`, or without a name all of them, one after the other.
import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { compile } from "./compare.js";

const project = fileURLToPath(new URL("..", import.meta.url));

/** What Node.js runs for each name. */
const BENCHES = {
  startup: ["bench/startup.js"],
  "refused-ioctl": ["bench/refused-ioctl.js"],
  interrupts: ["bench/interrupts.js"],
  kernel: ["test/kernel/boot.js", "--", "node", "bench/kernel.js"],
  software: ["--expose-gc", "bench/software.js"],
  "nvme-alone": ["bench/nvme-alone.js"],
  nvme: ["test/kernel/boot.js", "--", "node", "bench/nvme.js"],
};
/** Of those that need another test machine than the usual one. */
const MACHINES = { nvme: "nvme" };

const names = process.argv.slice(2);
const unknown = names.find((name) => !Object.hasOwn(BENCHES, name));
if (unknown !== undefined) {
  console.error(`bench: no bench ${JSON.stringify(unknown)}; there are ${Object.keys(BENCHES).join(", ")}`);
  process.exit(2);
}
// Before the test machine boots: its root file system is read-only.
compile();
for (const [name, command] of Object.entries(BENCHES)) {
  if (names.length > 0 && !names.includes(name)) continue;
  console.log(`\n== ${name}`);
  const env = { ...process.env, IOMMUFD_TEST_MACHINE: MACHINES[name] ?? "" };
  const { status } = spawnSync(process.execPath, command, { cwd: project, stdio: "inherit", env });
  if (status !== 0) process.exitCode = 1;
}
