#!/usr/bin/env node
// Fuzzes what comes from outside, guided by coverage (Jazzer.js): npm run fuzz -- [--inputs N | --seconds N] [--only NAME]
//
// N inputs in all, a million by default, go to the functions of test/fuzz/inputs.js, or as many as they take in N seconds. Prints how
// many went where; ends with exit code 1 at the first that is neither read nor refused as it should be, and says where it is kept.

import { execFileSync, spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { versionSync } from "detect-libc";

const project = fileURLToPath(new URL("..", import.meta.url));
const work = join(project, "build/test/fuzz");
const MTREE = readFileSync(join(project, "examples/guest-with-nesting.mtree"), "utf8");
const SECTIONS =
  '{"schema":"iommufd.sections/1","sections":[{"start":"0x0","last":"0xbffff","type":"ram","region":"pc.ram","readonly":true}]}';

/** Each function, its part of the inputs or of the time, and what makes what it starts from. */
const TARGETS = {
  mtree: { part: 0.3, seeds: () => [MTREE, MTREE.replaceAll("\n", "\r\n")] },
  sections: { part: 0.2, seeds: () => [SECTIONS] },
  plans: {
    part: 0.15,
    seeds: () => [runCommand("plan", "examples/guest-with-nesting.mtree", "--no-nesting", "--json")],
  },
  profiles: { part: 0.1, seeds: readProfiles },
  dmesg: {
    part: 0.15,
    seeds: () => [
      "[ 0.1] DMAR: dmar0: reg_base_addr c8fc000 ver 6:0 cap 19ed008c40780c66 ecap 3ef9e86f050df\n",
    ],
  },
  qmp: {
    part: 0.09,
    seeds: () => [
      [
        '{"return":{"qemu":{"micro":3,"minor":1,"major":11},"package":""}}',
        JSON.stringify({ return: MTREE }),
        '{"return":[{"name":"scalable-mode","type":"bool"},{"name":"fsts","type":"bool"}]}',
        '{"return":[{"name":"viommu","type":"child<intel-iommu>"}]}',
        '{"return":true}\n{"return":true}',
        '{"return":[{"type":"virtio-mem","data":{"id":"vmem0","memaddr":4294967296,"size":0,"max-size":1073741824}}]}',
      ].join("\n"),
    ],
  },
  sysfs: {
    part: 0.01,
    seeds: () => [
      [
        "proc/sys/kernel/osrelease 6.12.0\\n",
        "proc/cmdline intel_iommu=on,sm_on\\n",
        "boot/config-6.12.0 CONFIG_IOMMUFD=y\\nCONFIG_VFIO_DEVICE_CDEV=y\\n",
        "sys/class/iommu/dmar0/intel-iommu/cap 19ed008c40780c66\\n",
        "sys/class/iommu/dmar0/intel-iommu/ecap 3ef9e86f050df\\n",
        "sys/bus/pci/devices/0000:6a:01.0/class 0x020000\\n",
        "sys/bus/pci/devices/0000:6a:01.0/vfio-dev/vfio0/dev ",
        "proc/interrupts  24: 12 0  IR-PCI-MSIX-0000:00:04.0  0-edge  eth0\\n",
        "sys/module/iommufd/parameters/allow_unsafe_interrupts N\\n",
        "sys/class/iommu/ivhd0/amd-iommu/features 29d3:0\\n",
        "dev/kmsg 3,812,2,-;due to HW errata (ERRATA_772415_SPR17)\\n",
        "usr/bin/qemu-system-x86_64 QEMU emulator version 10.0.2 (Debian)\\n",
        "proc/4711/comm qemu-system-x86\\n",
        "proc/cpuinfo vendor_id\t: GenuineIntel\\ncpu family\t: 6\\nmodel\t: 143\\n",
      ].join("\n"),
    ],
  },
};

const { values } = parseArgs({
  options: { inputs: { type: "string" }, seconds: { type: "string" }, only: { type: "string" } },
});
const byTime = values.seconds !== undefined;
const limit = Number(values.seconds ?? values.inputs ?? 1_000_000);
if (
  (byTime && values.inputs !== undefined) ||
  !Number.isSafeInteger(limit) ||
  limit < (byTime ? 1 : 100) ||
  (values.only && !Object.hasOwn(TARGETS, values.only))
) {
  console.error(
    `usage: npm run fuzz -- [--inputs N, at least 100 | --seconds N] [--only ${Object.keys(TARGETS).join("|")}]`,
  );
  process.exit(2);
}

const jazzer = createRequire(import.meta.url).resolve("@jazzer.js/core/dist/cli.js");
const node = [...newerLibraries(), process.execPath];
const results = [];
for (const [name, { part, seeds }] of Object.entries(TARGETS)) {
  if (values.only !== undefined && values.only !== name) continue;
  const share = Math.ceil(limit * (values.only === undefined ? part : 1));
  results.push(fuzz(name, share, seeds()));
}
console.table(results);
const total = results.reduce((sum, result) => sum + result.inputs, 0);
console.log(`${total} inputs, all of them read or refused`);

/** Fuzzes one function with so many inputs, or for so many seconds. */
function fuzz(name, share, seeds) {
  const corpus = join(work, name);
  rmSync(corpus, { recursive: true, force: true });
  mkdirSync(corpus, { recursive: true });
  for (const [index, seed] of seeds.entries()) writeFileSync(join(corpus, `seed-${index}`), seed);
  const [command, ...args] = [
    ...[...node, jazzer, "test/fuzz/inputs", corpus, "--fuzzEntryPoint", name],
    ...["--includes", `${project}dist`, "--excludes", "node_modules", ...(name === "qmp" ? [] : ["--sync"])],
    // A second is a thousand times as long as any of them takes.
    ...[
      "--",
      byTime ? `-max_total_time=${share}` : `-runs=${share}`,
      "-timeout=5",
      "-max_len=16384",
      `-artifact_prefix=${work}/${name}-`,
      "-print_final_stats=1",
    ],
  ];
  const started = performance.now();
  // To a file: Node.js makes a pipe that does not block, and a fuzzer whose reader is late loses the end of its output.
  const log = join(work, `${name}.log`);
  const file = openSync(log, "w");
  const { status, signal } = spawnSync(command, args, { cwd: project, stdio: ["ignore", file, file] });
  closeSync(file);
  const seconds = Math.round((performance.now() - started) / 1000);
  const output = readFileSync(log, "utf8");
  const done = Number(
    /Done (\d+) runs/.exec(output)?.[1] ?? /number_of_executed_units: (\d+)/.exec(output)?.[1],
  );
  if (status !== 0 || !(done >= (byTime ? 1 : share))) {
    console.error(output.slice(-8000));
    console.error(
      `${name}: ended with ${signal ?? `exit code ${status}`} after ${done} inputs, see above and ${log}; one that failed is kept at ${work}/${name}-…`,
    );
    process.exit(1);
  }
  const coverage = Number([...output.matchAll(/ cov: (\d+)/g)].at(-1)?.[1]);
  return {
    name,
    inputs: done,
    "covered edges": coverage,
    "inputs kept": readdirSync(corpus).length,
    seconds,
  };
}

/** Jazzer.js needs a C library later than Debian 12's: where this one is not, the fuzzer runs with one of Debian 13. */
function newerLibraries() {
  const [major = 0, minor = 0] = String(versionSync()).split(".").map(Number);
  if (major > 2 || minor >= 38) return [];
  const directory = join(project, "build/test/fuzz-libraries");
  if (!existsSync(directory))
    execFileSync(
      join(project, "scripts/fetch-packages.sh"),
      [directory, "trixie", "download", "libc6", "libstdc++6", "libgcc-s1"],
      { stdio: ["ignore", "ignore", "inherit"] },
    );
  const libraries = join(directory, "usr/lib/x86_64-linux-gnu");
  return [join(libraries, "ld-linux-x86-64.so.2"), "--library-path", libraries];
}

function runCommand(...args) {
  return execFileSync(process.execPath, [join(project, "dist/bundled/iommufd.js"), ...args], {
    cwd: project,
    encoding: "utf8",
  });
}

function readProfiles() {
  const directory = join(project, "profiles");
  return readdirSync(directory)
    .filter((name) => name !== "profile.schema.json")
    .map((name) => readFileSync(join(directory, name), "utf8"));
}
