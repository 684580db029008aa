/** The output of examples/nested-dma.ts, on the machine and on its model. */

import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { PROJECT } from "./e2e/command.ts";
import { printedLines } from "./printed-lines.ts";

/** Runs it in this process: it prints what docs/driver.md shows. */
export async function expectNestedDma(...words: string[]): Promise<void> {
  const lines = await printedLines(() => import("../examples/nested-dma.ts"), ...words);
  expect(lines).toEqual([
    "0000:00:01.0: SMMUv3.1",
    "through two stages and back: every byte arrived",
    "a write to a page that stage 1 has read-only: nothing arrived; F_PERMISSION of stream 8 at 0x6000",
    "a write to a page whose entry the guest cleared: nothing arrived; F_TRANSLATION of stream 8 at 0x5000",
    "a write to ROM, which stage 2 has read-only: nothing arrived",
    "a read of ROM: every byte arrived",
  ]);
  expect(readFileSync(`${PROJECT}docs/driver.md`, "utf8")).toContain(lines.join("\n"));
}
