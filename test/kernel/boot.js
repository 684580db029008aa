// Boots the test machine: a Linux with iommufd under QEMU, with an emulated IOMMU and two edu devices, and runs a command in
// it. The project is in it at its own path, read-only, and as it was built (npm run build): the lane tests dist/ and the addon.
//
//   node test/kernel/boot.js                   the kernel lane: vitest with test/kernel/vitest.config.js, or what the machine is for
//   node test/kernel/boot.js -- COMMAND…       any command
//
// IOMMUFD_TEST_MACHINE names a machine of machines.js; the usual one has a VT-d, and this machine's own root file system.
//
// The machine has no compiler, so the lane's helpers are compiled before it boots: mock-device.cc and backtrace.cc, and
// for another processor the addon.
//
// IOMMUFD_TEST_GC=1 forces garbage collections around every ioctl, as in test/collect.ts.
// IOMMUFD_TEST_KERNEL names the kernel (default: that of ../shared/kernel); scripts/build-test-kernel.sh makes one.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { monitorOptions, stateOfMachine, watchPulse } from "./hang.js";
import { machineNamed, machineNames } from "./machines.js";

const TIME_LIMIT_MS = 30 * 60_000;
/** On a busy host a machine takes a minute to boot. */
const PULSE_LIMIT_SECONDS = 150;
const PROCESSOR_COUNT = 2;

const project = fileURLToPath(new URL("../..", import.meta.url));
const machineName = process.env.IOMMUFD_TEST_MACHINE ?? "";
const wanted =
  machineNamed(machineName) ??
  fail(`no machine ${JSON.stringify(machineName)}; there are ${machineNames.join(", ")}`);
const separator = process.argv.indexOf("--");
const command =
  separator < 0
    ? (wanted.command ?? [
        ...["node", "node_modules/vitest/vitest.mjs", "run"],
        ...["--configLoader=native", "--config=test/kernel/vitest.config.js"],
        ...wanted.tests,
      ])
    : process.argv.slice(separator + 1);

const kernel = process.env.IOMMUFD_TEST_KERNEL ?? join(project, "../shared/kernel", wanted.kernel);
if (!existsSync(kernel))
  fail(`no test kernel at ${kernel}; set IOMMUFD_TEST_KERNEL, or make one: scripts/build-test-kernel.sh`);
const root = resolve(project, wanted.root);
if (!existsSync(root)) fail(`no root file system at ${root}; fetch it: scripts/fetch-test-root.sh`);

const qemu = wanted.qemu.includes("/") ? join(project, wanted.qemu) : wanted.qemu;
build();

// A machine that hangs has no answer, neither a good nor a bad one: it is booted once more.
let end = await run();
if (end === "hangs") {
  console.error("kernel lane: booting the machine once more");
  end = await run();
}
process.exitCode = end === "hangs" ? 1 : end;

/**
 * Boots the machine and waits for its end.
 *
 * @returns {Promise<number | "hangs">} the exit status of the command; 1 where the machine ended before it, or it never ended
 */
async function run() {
  const out = mkdtempSync(join(tmpdir(), "iommufd-kernel-lane-"));
  process.on("exit", () => rmSync(out, { recursive: true, force: true }));
  const disks = prepare(out);
  const machine = spawn(qemu, qemuOptions(out, disks), { stdio: ["ignore", "inherit", "inherit"] });
  const stop = () => machine.kill("SIGTERM");
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, stop);
  const timer = setTimeout(() => {
    console.error(`kernel lane: no end after ${TIME_LIMIT_MS / 60_000} minutes, stopping the machine`);
    machine.kill("SIGKILL");
  }, TIME_LIMIT_MS);
  let hangs = false;
  const endWatch = watchPulse(out, PROCESSOR_COUNT, PULSE_LIMIT_SECONDS, async (processor) => {
    console.error(
      `kernel lane: the machine hangs: processor ${processor} did nothing for ${PULSE_LIMIT_SECONDS} seconds; its state:`,
    );
    console.error(await stateOfMachine(out, /** @type {number} */ (machine.pid)));
    // Not before: whoever ends the machine meanwhile wants no other.
    hangs = true;
    machine.kill("SIGKILL");
  });
  try {
    await once(machine, "exit");
  } catch (error) {
    const hint = error.code === "ENOENT" ? ` (get it: ${wanted.qemuFrom})` : "";
    console.error(`kernel lane: QEMU does not start: ${error.message}${hint}`);
    return 1;
  } finally {
    clearTimeout(timer);
    endWatch();
    for (const signal of ["SIGINT", "SIGTERM"]) process.off(signal, stop);
  }
  const status = existsSync(join(out, "status"))
    ? Number(readFileSync(join(out, "status"), "utf8"))
    : undefined;
  if (status === undefined && hangs) return "hangs";
  if (status === undefined) console.error("kernel lane: the machine ended before the command did");
  const problems = wanted.disks?.check(out) ?? [];
  for (const problem of problems) console.error(`kernel lane: ${problem}`);
  return status === 0 && problems.length > 0 ? 1 : (status ?? 1);
}

/** Puts what the machine needs into the directory that it shares; the disks are options of QEMU's. */
function prepare(/** @type {string} */ out) {
  if (wanted.initrd !== undefined) writeFileSync(join(out, "initrd"), wanted.initrd);
  const quote = (word) => `'${word.replaceAll("'", "'\\''")}'`;
  const { IOMMUFD_TEST_GC = "" } = process.env;
  const env = { IOMMUFD_TEST_MACHINE: machineName, IOMMUFD_TEST_GC, ...wanted.env };
  writeFileSync(
    join(out, "command"),
    `cd ${quote(project)} && exec env ${Object.entries(env)
      .map(([name, value]) => `${name}=${value}`)
      .join(" ")} ${command.map(quote).join(" ")}\n`,
  );
  return wanted.disks?.make(out) ?? [];
}

function qemuOptions(/** @type {string} */ out, /** @type {string[]} */ disks) {
  const share = (path, tag, options) => [
    "-virtfs",
    `local,path=${path},mount_tag=${tag},security_model=none,${options}`,
  ];
  return [
    ...wanted.options,
    ...["-accel", "tcg,thread=multi", "-smp", `${PROCESSOR_COUNT}`],
    ...["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"],
    ...monitorOptions(out),
    ...["-kernel", kernel, "-append", commandLineOfKernel()],
    ...disks,
    ...(wanted.initrd === undefined ? [] : ["-initrd", join(out, "initrd")]),
    ...share(root, "host", "multidevs=remap,readonly=on"),
    ...(root === "/" ? [] : share(project, "project", "multidevs=remap,readonly=on")),
    ...share(out, "out", "multidevs=forbid"),
  ];
}

/** Compiles what goes into the machine. */
function build() {
  const run = (program, args) =>
    execFileSync(program, args, { cwd: project, stdio: ["ignore", "ignore", "inherit"] });
  if (wanted.processor !== "x64") run("scripts/build-addon.sh", [wanted.processor, dirname(wanted.build)]);
  mkdirSync(join(project, wanted.build, "test"), { recursive: true });
  for (const [output, source, ...options] of [
    [`${wanted.build}/test/mock-device`, "test/kernel/mock-device.cc"],
    [`${wanted.build}/test/backtrace.so`, "test/kernel/backtrace.cc", "-shared", "-fPIC"],
  ]) {
    // Another machine may be running the one that is there.
    if (isNewer(output, source)) continue;
    run(wanted.compiler, ["-std=c++17", "-Wall", "-Wextra", ...options, "-o", output, source]);
  }
}

function commandLineOfKernel() {
  const words = [
    "panic=-1 quiet",
    "root=host rootfstype=9p rootflags=trans=virtio,version=9p2000.L,msize=512000,cache=loose ro",
    wanted.kernelCommandLine,
    // The kernel passes unknown parameters to its first program, in the environment.
    `IOMMUFD_PROJECT=${project}`,
  ];
  if (root === "/") return [...words, `init=${project}test/kernel/init.sh`].join(" ");
  // A root without the project, which is mounted in it by a copy of that program.
  mkdirSync(join(root, project), { recursive: true });
  copyFileSync(join(project, "test/kernel/init.sh"), join(root, "init.sh"));
  return [...words, `IOMMUFD_BUILD=${wanted.build}`, "init=/init.sh"].join(" ");
}

/** Whether a file of the project is there, and newer than another. */
function isNewer(/** @type {string} */ file, /** @type {string} */ than) {
  const [one, other] = [file, than].map((path) => statSync(join(project, path), { throwIfNoEntry: false }));
  return one !== undefined && other !== undefined && one.mtimeMs > other.mtimeMs;
}

/** @returns {never} */
function fail(message) {
  console.error(`kernel lane: ${message}`);
  process.exit(1);
}
