/** A hundred megabytes of text, in less memory than that. */

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { iommufd, MAIN, PROJECT } from "./command.ts";
import { temporaryFiles } from "./temporary-files.ts";

const { directory, file } = temporaryFiles();

const MEGABYTE = 1 << 20;
const GUEST = readFileSync(`${PROJECT}examples/guest-with-nesting.mtree`, "utf8");

/** Runs `iommufd` with a small heap, with input that is never there as a whole. */
async function run(args: readonly string[], input: Iterable<string>) {
  const child = spawn(process.execPath, ["--max-old-space-size=40", MAIN, ...args], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.on("error", () => {});
  Readable.from(input).pipe(child.stdin);
  const [output] = await Promise.all([
    buffer(child.stdout),
    new Promise((resolve) => child.once("close", resolve)),
  ]);
  return { status: child.exitCode, stdout: output.toString() };
}

function* hundredMegabytes(piece: string, before = "", after = ""): Generator<string> {
  const block = piece.repeat(Math.ceil(MEGABYTE / piece.length));
  yield before;
  for (let count = 0; count < 100; count++) yield block;
  yield after;
}

const plan = ["plan", "-", "--no-nesting", "--json"];
const VIEW = `FlatView #7\n AS "other", root: other\n`;
const SECTION = "  0000000000000000-0000000000000fff (prio 0, ram): ram\n";

describe("a hundred megabytes", () => {
  it.each([
    ["of lines that are none of a flat view, before one", hundredMegabytes("hello, world\n", "", GUEST)],
    ["in one line", hundredMegabytes("0", "", `\n${GUEST}`)],
    ["of line ends", hundredMegabytes("\r\n", "", GUEST)],
    ["of flat views that were not asked for", hundredMegabytes(VIEW + SECTION, GUEST)],
    ["of terminal escapes", hundredMegabytes("\u001b[K\u001b[", "", `\n${GUEST}`)],
  ])(
    "%s",
    async (_, input) => {
      const { status, stdout } = await run(plan, input);
      expect(status).toBe(0);
      expect(JSON.parse(stdout).totals.sections).toBe(9);
    },
    60_000,
  );

  it("twenty thousand sections are printed, and drawn", () => {
    const at = (index: number, offset: number) => `0x${(index * 2 ** 20 + offset).toString(16)}`;
    const sections = Array.from({ length: 20_000 }, (_, index) => {
      return { start: at(index, 0), last: at(index, 0xfff), type: "ram", region: `r${index}` };
    });
    const input = file("sections.json", JSON.stringify({ schema: "iommufd.sections/1", sections }));
    const page = join(directory, "page.html");
    const { status, stdout } = iommufd(["plan", input, "--no-nesting", "--html", page]);
    expect(status).toBe(0);
    expect(stdout.match(/^map read-write/gm)).toHaveLength(20_000);
    expect(readFileSync(page, "utf8")).toContain(">r19999<");
  }, 60_000);

  it("a page of more sections than a browser lays out has some, and says so", () => {
    const at = (index: number, offset: number) => `0x${(index * 2 ** 16 + offset).toString(16)}`;
    const sections = Array.from({ length: 25_000 }, (_, index) => {
      const readonly = index === 24_999;
      return { start: at(index, 0), last: at(index, 0xfff), type: "ram", region: `r${index}`, readonly };
    });
    const input = file("more.json", JSON.stringify({ schema: "iommufd.sections/1", sections }));
    const { status, stdout } = iommufd(["plan", input, "--bypass-ro", "on", "--html", "-"]);
    expect(status).toBe(0);
    expect(stdout.match(/<tr id=/g)).toHaveLength(20_000);
    expect(stdout).toContain("The table has 20000 of 25000 sections");
    const links = [...stdout.matchAll(/<a href="#band-\d+" data-row="band-\d+" aria-label="(\d+) sections/g)];
    expect(links.length).toBeLessThanOrEqual(2000);
    expect(links.reduce((sum, [, count]) => sum + Number(count), 0)).toBe(25_000);
    // The section that is left out is drawn, though its row is not there.
    expect(stdout).not.toContain(">r24999<");
    expect(stdout).toMatch(/skip: read-only[^>]*><rect class="left-out-read-only"/);
  }, 60_000);

  it("of kernel log", async () => {
    const line =
      "[    0.1] DMAR: dmar0: reg_base_addr c8fc000 ver 6:0 cap 19ed008c40780c66 ecap 3ef9e86f050df\n";
    const { status, stdout } = await run(
      ["decode", "--dmesg", "-", "--json"],
      hundredMegabytes("[    0.0] x\n", "", line),
    );
    expect(status).toBe(0);
    expect(JSON.parse(stdout).units).toHaveLength(1);
  }, 60_000);
});
