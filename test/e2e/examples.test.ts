/** Examples that need no device, run. */

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { expect, it } from "vitest";
import { expectNestedDma } from "../nested-dma.ts";
import { PROJECT, run } from "./command.ts";

// Where there is a kernel, it would take the first device of whoever runs the tests; the kernel lane does that.
it.runIf(!existsSync("/dev/iommu"))("examples/walk.js does the walk", () => {
  expect(run(PROJECT, process.execPath, ["examples/walk.js"])).toEqual({
    status: 0,
    output: "software: 2 sections mapped, 7 skipped\n",
  });
});

it("examples/nested-dma.ts: DMA through both stages of a modelled SMMUv3 has the outcome of the machine", () =>
  expectNestedDma("--profile", "qemu-smmuv3"));

it("examples/nvme/cli.js says how it is called, and what is wrong, in one line", () => {
  const nvme = (...words: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ["examples/nvme/cli.js", ...words], {
      cwd: PROJECT,
      encoding: "utf8",
    });
    return { status, stdout, stderr };
  };
  expect(nvme("--help")).toMatchObject({
    status: 0,
    stderr: "",
    stdout: expect.stringMatching(/^usage: node /),
  });
  const usage = "nvme: one of identify, read, write, bench, and one PCI address are needed; see --help\n";
  for (const words of [[], ["read"], ["erase", "0000:01:00.0"], ["toString", "x"], ["read", "x", "y"]])
    expect(nvme(...words)).toEqual({ status: 2, stdout: "", stderr: usage });
  expect(nvme("read", "0000:01:00.0", "--first", "-1")).toMatchObject({ status: 2 });
  expect(nvme("read", "0000:01:00.0", "--depth", "1e3")).toEqual({
    status: 2,
    stdout: "",
    stderr: 'nvme: --depth must be a whole number, received "1e3"\n',
  });
  expect(nvme("read", "0000:ff:1f.7")).toMatchObject({
    status: 1,
    stdout: "",
    stderr: expect.stringMatching(/^nvme: [^\n]+\n$/),
  });
});
