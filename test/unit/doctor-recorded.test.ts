/** The reports of `iommufd doctor` about whole machines: hosts/NAME.tree, and hosts/NAME.doctor. */

import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { normalizeBdf } from "../../lib/bdf.ts";
import { diagnose } from "../../lib/host/doctor.ts";
import { formatDoctor } from "../../lib/report/doctor-report.ts";
import { elided } from "../elided.ts";
import { expectSound } from "./plan-rules.ts";
import { makeHost } from "./recorded-host.ts";

const HOSTS = new URL("hosts/", import.meta.url);
const names = readdirSync(HOSTS).flatMap((file) => /^(.*)\.tree$/.exec(file)?.[1] ?? []);

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "iommufd-host-"));
});
afterEach(() => rmSync(root, { recursive: true }));

describe.each(names)("%s", (name) => {
  const file = new URL(`${name}.doctor`, HOSTS);
  const [command = ""] = readFileSync(file, "utf8").split("\n");
  const bdfs = command.split(" ").slice(3).map(normalizeBdf);

  it("is told what is, and what to do", async () => {
    makeHost(root, name);
    const diagnosis = diagnose(root, bdfs);
    expectSound(root, diagnosis);
    await expect(`${command}\n${formatDoctor(diagnosis)}\n`).toMatchFileSnapshot(file.pathname);
  });
});

it("README.md shows what matters of one", () => {
  const [, shown = "none"] =
    /<!-- shown by test\/unit\/doctor-recorded\.test\.ts -->\n\n```text\n([\s\S]*?)```\n/.exec(
      readFileSync(new URL("../../README.md", import.meta.url), "utf8"),
    ) ?? [];
  expect(readFileSync(new URL("rhel-9-sapphire-rapids-off.doctor", HOSTS), "utf8")).toMatch(elided(shown));
});

it("docs/troubleshooting.md shows the plan of one", () => {
  const [, plan = "none"] =
    /\n(To do, in this order:\n(?:.+\n)*)/.exec(
      readFileSync(new URL("rhel-9-sapphire-rapids-off.doctor", HOSTS), "utf8"),
    ) ?? [];
  expect(readFileSync(new URL("../../docs/troubleshooting.md", import.meta.url), "utf8")).toContain(
    `\n\`\`\`text\n${plan}\`\`\`\n`,
  );
});
