/** Memory maps that are not whole, given to the command. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { CAPTURED } from "../fixtures/corpus.ts";
import { iommufd, PROJECT } from "./command.ts";
import { temporaryFiles } from "./temporary-files.ts";

const { file } = temporaryFiles();
const LINES = readFileSync(`${PROJECT}examples/guest-with-nesting.mtree`, "utf8").split("\n");
/** The lines that `head` leaves. */
const head = (count: number) =>
  LINES.slice(0, count)
    .map((line) => `${line}\n`)
    .join("");
const HOST = ["--profile", "sapphire-rapids"];
const DAMAGE = "standard input:8: it ends within a flat view, which QEMU ends with an empty line";

describe("a memory map whose end is missing", () => {
  it("check: refused, exit 2", () => {
    expect(iommufd(["check", "-", ...HOST], head(8))).toEqual({
      status: 2,
      stdout: "",
      stderr: `iommufd: ${DAMAGE}; sections may be missing: all of what "info mtree -f" prints is needed\n`,
    });
  });

  it("plan: a warning in the text, the document and the page", () => {
    const page = file("page.html", "");
    const text = iommufd(["plan", "-", "--no-nesting", "--html", page], head(8));
    expect(text.status).toBe(0);
    expect(text.stdout).toContain(`Warning   the memory map is not whole: ${DAMAGE}\n`);
    expect(text.stderr).toContain(`iommufd: the memory map is not whole: ${DAMAGE}\n`);
    expect(readFileSync(page, "utf8")).toContain(
      "<dt>Warning</dt><dd><p>the memory map is not whole: standard input:8",
    );
    const { stdout } = iommufd(["plan", "-", "--no-nesting", "--json"], head(8));
    expect(JSON.parse(stdout).memoryMap).toEqual({ damage: DAMAGE, uncertain: [] });
    expect(iommufd(["plan", "-", "--no-nesting", "--quiet"], head(8)).stderr).toBe("");
  });

  it.each(["plan", "check"])("%s: no section at all is refused, exit 2", (command) => {
    for (const input of [head(4), '{"schema":"iommufd.sections/1","sections":[]}']) {
      const { status, stdout, stderr } = iommufd([command, "-", ...HOST], input);
      expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
      expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    }
  });

  it("an address space without RAM: plan does not call it safe, and check refuses it, exit 2", () => {
    const io = ["examples/guest-with-nesting.mtree", "--address-space", "I/O", ...HOST];
    expect(iommufd(["plan", ...io]).stdout).toContain(
      "\nPlan      unknown: 0 mappings; is it the address space",
    );
    expect(iommufd(["check", ...io])).toEqual({
      status: 2,
      stdout: "",
      stderr:
        'iommufd: examples/guest-with-nesting.mtree: nothing of the address space "I/O" is mapped, so there is nothing to check; is it the one that the devices see?\n',
    });
  });

  it("diff: a plan of nothing is refused, exit 2", () => {
    const plan = JSON.parse(iommufd(["plan", "-", "--no-nesting", "--json"], LINES.join("\n")).stdout);
    const empty = file("empty.json", JSON.stringify({ ...plan, map: [], skipped: [] }));
    const { status, stderr } = iommufd(["diff", empty, "-"], JSON.stringify(plan));
    expect(status).toBe(2);
    expect(stderr).toContain(
      "empty.json: the plan is of no section at all, so there is nothing to compare\n",
    );
  });
});

describe("sections that a text is not sure of", () => {
  const mtree = CAPTURED.find(([name]) => name === "pc-option-rom")?.[1].mtree ?? "";

  it("are named where they would be mapped, with how to be sure", () => {
    const page = file("page.html", "");
    const { stdout } = iommufd(["plan", "-", "--no-nesting", "--html", page], mtree);
    expect(stdout).toMatch(
      /\nUnsure {4}vga\.rom at 0xe0000000-0xe000ffff\n.*ROM device.*\n.*--qmp, --libvirt/,
    );
    expect(readFileSync(page, "utf8")).toContain("may be a ROM device, which is not mapped");
    const uncertain = [{ start: "0xe0000000", last: "0xe000ffff", region: "vga.rom" }];
    const plan = iommufd(["plan", "-", "--no-nesting", "--json"], mtree);
    expect(JSON.parse(plan.stdout).memoryMap).toEqual({ damage: null, uncertain });
    const check = iommufd(["check", "-", "--no-nesting", "--json", ...HOST], mtree);
    expect(JSON.parse(check.stdout).memoryMap).toEqual({ damage: null, uncertain });
  });

  it("are not, where they are left out in any case", () => {
    const { stdout } = iommufd(["plan", "-", ...HOST], mtree);
    expect(stdout).not.toContain("Unsure");
  });
});
