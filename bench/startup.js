// The time of a process that runs the command or imports the library, from start to end, beside one that does nothing.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { compare, time } from "./compare.js";

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const COMMAND = path("dist/bundled/iommufd.js");
const REGISTERS = ["--cap", "0xd2008c22260286", "--ecap", "0x480084f00f4a"];
const EXAMPLE = path("examples/guest-with-nesting.mtree");
/** Exit code of `doctor` where something stands in the way. */
const NOT_READY = 3;

const directory = mkdtempSync(join(tmpdir(), "iommufd-bench-"));
const empty = join(directory, "empty.mjs");
writeFileSync(empty, "");

/** Nanoseconds that a process takes; all of what it writes is thrown away. */
const run = (args, expected) => () =>
  time(1, () => {
    const { status } = spawnSync(process.execPath, args, { stdio: "ignore" });
    if (!expected.includes(status)) throw new Error(`node ${args.join(" ")}: exit code ${status}`);
  });

const rows = [
  { name: "an empty module", args: [empty] },
  { name: "import of the library", args: [path("dist/bundled/index.js")], aim: 1.4 },
  { name: "`iommufd --help`", args: [COMMAND, "--help"], aim: 1.6 },
  { name: "`iommufd decode`", args: [COMMAND, "decode", ...REGISTERS], aim: 1.6 },
  { name: "`iommufd doctor`", args: [COMMAND, "doctor"], aim: 2, expected: [0, NOT_READY] },
  {
    name: "`iommufd plan` of the example",
    args: [COMMAND, "plan", EXAMPLE, "--profile", "sapphire-rapids"],
    aim: 2,
  },
];
for (const { name, args, aim, expected = [0] } of rows)
  await compare(name, run(args, expected), run(["-e", "0"], [0]), { rival: "node -e 0", blocks: 25, aim });
rmSync(directory, { recursive: true });
