/** The size of the kernel's pages, as a machine shows it. */

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { machinePageSize } from "../../lib/host/page-size.ts";

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "iommufd-page-size-"));
  mkdirSync(join(root, "proc/self"), { recursive: true });
});

afterEach(() => rmSync(root, { recursive: true }));

/** Values that the kernel gives a program at its start: AT_HWCAP, AT_PAGESZ, AT_NULL. */
const AUXV = Buffer.from(BigUint64Array.of(16n, 0xffn, 6n, 65536n, 0n, 0n).buffer);

it("is that of getconf(1) here", () => {
  expect(machinePageSize()).toBe(Number(execFileSync("getconf", ["PAGESIZE"], { encoding: "utf8" })));
});

it("is that of a recorded machine", () => {
  writeFileSync(join(root, "proc/self/auxv"), AUXV);
  expect(machinePageSize(root)).toBe(65536);
});

it("is not known where the machine does not show it, or the record is cut", () => {
  expect(machinePageSize(root)).toBeUndefined();
  for (let length = 0; length < 32; length++) {
    writeFileSync(join(root, "proc/self/auxv"), AUXV.subarray(0, length));
    expect(machinePageSize(root)).toBeUndefined();
  }
});
