/** The limit on locked memory, as a machine reports it. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { memlockLimit } from "../../lib/host/memlock.ts";

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "iommufd-memlock-"));
  mkdirSync(join(root, "proc/self"), { recursive: true });
});

afterEach(() => rmSync(root, { recursive: true }));

function process(limit: string, capabilities: string): void {
  const line = "Max locked memory".padEnd(26) + limit.padEnd(21) + limit.padEnd(21);
  writeFileSync(join(root, "proc/self/limits"), `Limit  Soft Limit  Hard Limit\n${line}bytes\n`);
  writeFileSync(join(root, "proc/self/status"), `Name:\tnode\nCapEff:\t${capabilities}\n`);
}

it.each([
  ["8388608", "0000000000000000", { limit: 8388608n, exempt: false }],
  ["unlimited", "0000000000000000", { limit: undefined, exempt: false }],
  ["65536", "000001ffffffffff", { limit: 65536n, exempt: true }],
  ["65536", "0000000000004000", { limit: 65536n, exempt: true }],
  ["65536", "0000000000003fff", { limit: 65536n, exempt: false }],
])("a limit of %s and capabilities %s", (limit, capabilities, expected) => {
  process(limit, capabilities);
  expect(memlockLimit(root)).toEqual(expected);
});

it("is not known where the machine does not tell", () => {
  expect(memlockLimit(root)).toBeUndefined();
});
