// The cost of `iommufd plan` with large memory maps: processor time, which a busy machine changes least, and the most memory
// that the process had (VmHWM).
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { HEADER, median } from "./compare.js";

const COMMAND = fileURLToPath(new URL("../dist/bundled/iommufd.js", import.meta.url));
const ROUNDS = Number(process.env.BLOCKS ?? 3);
const MEGABYTE = 1e6;
/** Has a process say at its end how much processor time it took, in microseconds, and how much memory it had, in KiB. */
const AT_END = `data:text/javascript,${encodeURIComponent(
  'import { writeSync } from "node:fs"; process.on("exit", () => writeSync(3, JSON.stringify(process.resourceUsage())));',
)}`;
const KINDS = ["i/o", "rom", "ramd"];

const directory = mkdtempSync(join(tmpdir(), "iommufd-bench-"));

/** A flat view: RAM, and between its pieces what is none. */
function flatView(name, sections, suffix = "") {
  const path = join(directory, name);
  const file = openSync(path, "w");
  writeSync(file, 'FlatView #0\n AS "memory", root: system\n Root memory region: system\n');
  let text = "";
  for (let index = 0, start = 0; index < sections; index++) {
    const isRam = index % 2 === 0;
    const size = isRam ? 0x2000 : 0x1000;
    const hex = (value) => value.toString(16).padStart(16, "0");
    const kind = isRam ? "ram" : KINDS[(index >> 1) % KINDS.length];
    const region = isRam ? `pc.ram${suffix} @${hex(start)}` : `device${index % 97}${suffix}`;
    text += `  ${hex(start)}-${hex(start + size - 1)} (prio 0, ${kind}): ${region}\n`;
    if (text.length > 1 << 20 || index === sections - 1) {
      writeSync(file, text);
      text = "";
    }
    start += size;
  }
  writeSync(file, "\n");
  closeSync(file);
  return path;
}

function measure(args) {
  const { status, output } = spawnSync(
    process.execPath,
    ["--import", AT_END, COMMAND, "plan", "--profile", "sapphire-rapids", "--quiet", ...args],
    { stdio: ["ignore", "ignore", "inherit", "pipe"], encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`iommufd plan ${args.join(" ")}: exit code ${status}`);
  const { userCPUTime, systemCPUTime, maxRSS } = JSON.parse(output[3]);
  return { seconds: (userCPUTime + systemCPUTime) / 1e6, bytes: maxRSS * 1024 };
}

const many = flatView("100000.mtree", 100_000);
const rows = [
  { name: "`plan`, 100,000 sections", args: [many], aim: "3 s, 150 MB" },
  {
    name: "`plan`, 100 MB of text",
    args: [flatView("100-megabytes.mtree", 120_000, "x".repeat(800))],
    aim: "20 s, 300 MB",
  },
  {
    name: "`plan --html`, 100,000 sections",
    args: [many, "--html", join(directory, "page.html")],
    aim: "10 s",
  },
  {
    name: "`plan --json`, 1,000,000 sections",
    args: [flatView("1000000.mtree", 1_000_000), "--json"],
    aim: "5 s, 500 MB",
  },
];
console.log(HEADER.join("\n"));
for (const { name, args, aim } of rows) {
  const runs = Array.from({ length: ROUNDS }, () => measure(args));
  const seconds = runs.map((run) => run.seconds);
  const megabytes = Math.max(...runs.map(({ bytes }) => bytes)) / MEGABYTE;
  console.log(
    `| ${name} | ${Math.min(...seconds).toFixed(1)} s (${median(seconds).toFixed(1)} s), ${megabytes.toFixed(0)} MB | | | ${aim} |`,
  );
}
rmSync(directory, { recursive: true });
