/**
 * `npm run test:attack -- [--seconds N] [--seed N] [--node 20|22|24]`: random calls, ends, transfers, truncations and closes, in
 * processes of their own, under the sanitizers. The first process has the seed itself, the next the seed and one, and so on: what is
 * printed of one that crashes says how to repeat it. Exit status 1: something was found.
 */

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { lastCalls } from "./call-log.js";

/** A process that takes longer hangs. */
const PATIENCE_MS = 120_000;
/** Limit of descriptors, so that running out of them is quick. */
const DESCRIPTORS = 400;

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    "keep-going": { type: "boolean", default: false },
    without: { type: "string", default: "" },
  },
});
const seconds = Number(values.seconds);
const firstSeed = Number(values.seed);
if (!(seconds > 0) || !Number.isSafeInteger(firstSeed)) {
  console.error("attack: --seconds and --seed are numbers");
  process.exit(2);
}

/** Runs one process; true where nothing was found. */
function attackOnce(seed, totals) {
  const directory = mkdtempSync(join(tmpdir(), "iommufd-attack-"));
  try {
    const child = fileURLToPath(new URL("child.js", import.meta.url));
    const limited = `ulimit -n ${DESCRIPTORS} && exec "$@"`;
    const ended = spawnSync(
      "sh",
      ["-c", limited, "sh", process.execPath, "--expose-gc", child, String(seed), directory],
      {
        env: { ...process.env, IOMMUFD_ATTACK_WITHOUT: values.without },
        encoding: "utf8",
        timeout: PATIENCE_MS,
        killSignal: "SIGKILL",
        maxBuffer: 1 << 26,
      },
    );
    const figuresPath = join(directory, "figures.json");
    const figures = existsSync(figuresPath) ? JSON.parse(readFileSync(figuresPath, "utf8")) : undefined;
    if (ended.status === 0 && figures !== undefined) {
      for (const name of Object.keys(figures)) totals[name] = (totals[name] ?? 0) + figures[name];
      return true;
    }
    const how = ended.error?.message ?? ended.signal ?? `exit status ${ended.status}`;
    console.error(`attack: ${how}; again: npm run test:attack -- --seconds 1 --seed ${seed}`);
    console.error(ended.stderr.slice(0, 20_000));
    for (const { thread, calls } of lastCalls(directory)) {
      console.error(`last calls of ${thread}:\n  ${calls.slice(-12).join("\n  ")}`);
    }
    return false;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const totals = {};
const deadline = Date.now() + seconds * 1000;
let processes = 0;
let found = 0;
while (Date.now() < deadline && (found === 0 || values["keep-going"])) {
  if (!attackOnce(firstSeed + processes, totals)) found++;
  processes++;
}
const counted = Object.entries(totals).map(([name, number]) => `${number} ${name}`);
console.log(
  `attack: Node.js ${process.version}, seed ${firstSeed}, ${processes} processes, ${[...counted, `${found} findings`].join(", ")}`,
);
process.exitCode = found === 0 ? 0 : 1;
