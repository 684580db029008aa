/** `iommufd plan --libvirt`, of a domain that runs. */

import { chmodSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { queryLibvirt } from "../../lib/memory-map/running-qemu.ts";
import { iommufd } from "../e2e/command.ts";
import { temporaryFiles } from "../e2e/temporary-files.ts";
import { HAS_LIBVIRT, RunningLibvirt } from "./running-libvirt.ts";

const { directory, file } = temporaryFiles();

/** With settings in the environment. */
function plan(domain: string, env: Record<string, string>) {
  return iommufd(["plan", "--libvirt", domain], "", env);
}

describe.runIf(HAS_LIBVIRT)("a domain of libvirt", () => {
  it("is planned, and one that is not there is said", async () => {
    await using libvirt = await RunningLibvirt.start("guest 1");
    const env = { LIBVIRT_DEFAULT_URI: libvirt.uri };
    expect(plan("guest 1", env)).toMatchObject({
      status: 0,
      stderr: "",
      stdout: expect.stringMatching(
        /^Asked {5}no IOMMU; .*\nPlan .*\nVM {8}QEMU [\d.]+, started without nesting\n[\s\S]* pc\.bios\n/,
      ),
    });
    expect(plan("--help", env)).toEqual({
      status: 1,
      stdout: "",
      stderr: "iommufd: libvirt domain --help: failed to get domain '--help'\n",
    });
  });

  it("no libvirt", () => {
    expect(plan("guest", { LIBVIRT_DEFAULT_URI: `qemu:///session?socket=${directory}/none` })).toEqual({
      status: 1,
      stdout: "",
      stderr: `iommufd: libvirt domain guest: failed to connect to the hypervisor: Failed to connect socket to '${directory}/none': No such file or directory\n`,
    });
  });
});

it("no virsh", () => {
  expect(plan("guest", { PATH: directory })).toEqual({
    status: 1,
    stdout: "",
    stderr:
      "iommufd: libvirt domain guest: virsh is not installed (Debian: libvirt-clients); or ask QEMU itself, with --qmp\n",
  });
});

it.each([
  ["that hangs", "exec sleep 60", "virsh did not answer query-version within 0.3 s"],
  ["that says nothing", "exit 1", "Command failed: virsh"],
  ["whose QEMU talks nonsense", "echo '{\"ret'", "not what QMP answers"],
  [
    "whose QEMU refuses",
    `echo '{"error":{"class":"GenericError","desc":"No"}}'`,
    "libvirt domain guest: query-version: No",
  ],
])("a virsh %s", async (_, script, message) => {
  chmodSync(file("virsh", `#!/bin/sh\n${script}\n`), 0o755);
  const path = process.env["PATH"];
  process.env["PATH"] = `${directory}:${path}`;
  try {
    await expect(queryLibvirt("guest", { timeout: 300 })).rejects.toMatchObject({
      code: "ERR_IOMMUFD_QEMU",
      message: expect.stringContaining(message),
    });
  } finally {
    process.env["PATH"] = path;
  }
});
