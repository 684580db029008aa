/** `iommufd capture` in a machine of the lane, and the profile of that machine that ships. */

import { readFileSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { expect } from "vitest";
import { originFields } from "../../lib/origin.ts";
import { iommufd, PROJECT } from "../e2e/command.ts";

/** Captures this machine: it is what ships, and a model of it answers as the kernel does. */
export function expectCaptured(name: string): void {
  const shipped = JSON.parse(readFileSync(`${PROJECT}profiles/${name}.json`, "utf8"));
  const { status, stdout } = iommufd(["capture", "--name", name, "--description", shipped.description]);
  expect(status).toBe(0);
  const captured = JSON.parse(stdout);
  expect(captured).toMatchObject({ backend: "kernel", kernelRelease: release() });
  expect(machineOf(captured)).toEqual(machineOf(shipped));
  writeFileSync("/run/tmp/host.json", stdout);
  const replayed = iommufd(["probe", "--profile", "/run/tmp/host.json", "--json"]);
  const real = iommufd(["probe", "--json"]);
  expect(JSON.parse(replayed.stdout).devices).toEqual(JSON.parse(real.stdout).devices);
}

/** A profile without who answered, and where its values are from. */
function machineOf(profile: object): object {
  const isMachine = ([field]: [string, unknown]) =>
    field !== "sources" && !Object.hasOwn(originFields().shape, field);
  return Object.fromEntries(Object.entries(profile).filter(isMachine));
}
