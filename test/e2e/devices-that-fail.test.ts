/** Several devices, some of which cannot be used: each is named with its cause, and the rest goes on. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { captureProfile, Iommufd, parseProfile } from "../../lib/index.ts";
import { iommufd, PROJECT } from "./command.ts";
import { temporaryFiles } from "./temporary-files.ts";

const { directory, file } = temporaryFiles();

/** A host with ten devices. */
const one = JSON.parse(readFileSync(join(PROJECT, "profiles/sapphire-rapids.json"), "utf8"));
const BDFS = Array.from({ length: 10 }, (_, index) => `0000:6a:${index.toString(16).padStart(2, "0")}.0`);
const ten = { ...one, devices: BDFS.map((bdf) => ({ ...one.devices[0], bdf })) };
const HOST = file("ten.json", JSON.stringify(ten));
const ABSENT = "0000:ff:00.0";
const GUEST = "examples/guest-with-nesting.mtree";

it("capture of ten devices with one in use has nine, and names the other", () => {
  using host = Iommufd.open({ backend: "software", profile: parseProfile(ten) });
  using _busy = host.openDevice("0000:6a:03.0");
  const failures: [string, string | undefined][] = [];
  const words = { name: "x", description: "" };
  const captured = captureProfile(host, BDFS, words, (bdf, error) => {
    failures.push([bdf, (error as NodeJS.ErrnoException).code]);
  });
  expect(failures).toEqual([["0000:6a:03.0", "EINVAL"]]);
  const { devices } = parseProfile(captured);
  expect(devices.map(({ bdf }) => bdf)).toEqual(BDFS.filter((bdf) => bdf !== "0000:6a:03.0"));
  expect(() => captureProfile(host, BDFS, words)).toThrow(/^EINVAL/);
});

it("iommufd capture writes those that can be captured: exit 1", () => {
  const output = join(directory, "captured.json");
  const flags = ["--profile", HOST, "--quiet", "--output", output];
  const outcome = iommufd(["capture", ...BDFS.slice(0, 9), ABSENT, ...flags]);
  expect(outcome).toEqual({
    status: 1,
    stdout: "",
    stderr: expect.stringMatching(/^iommufd: 0000:ff:00\.0: [^\n]+\n$/),
  });
  expect(JSON.parse(readFileSync(output, "utf8")).devices).toHaveLength(9);
  expect(iommufd(["probe", "--profile", output, "--quiet"])).toMatchObject({ status: 0 });
});

it("iommufd capture without any writes nothing: exit 1", () => {
  const output = join(directory, "none.json");
  const outcome = iommufd(["capture", ABSENT, "--profile", HOST, "--quiet", "--output", output]);
  expect(outcome).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(
      /^iommufd: 0000:ff:00\.0: .*\niommufd: no device could be captured; nothing was written\n$/,
    ),
  });
  expect(() => readFileSync(output)).toThrow("ENOENT");
});

it("iommufd probe has a row for each: exit 1", () => {
  const outcome = iommufd(["probe", ...BDFS, ABSENT, "--profile", HOST, "--json"]);
  expect(outcome.status).toBe(1);
  const { devices } = JSON.parse(outcome.stdout);
  expect(devices).toHaveLength(11);
  expect(devices.filter(({ error }: { error: unknown }) => error !== null)).toMatchObject([
    { bdf: ABSENT, error: { code: "ERR_IOMMUFD_NO_DEVICE" } },
  ]);
});

it("labels and metrics count a device that could not be asked as unknown, and the reason is printed: exit 1", () => {
  const reason = expect.stringMatching(/^iommufd: 0000:ff:00\.0: no such device in profile .*\n$/);
  const probe = (format: string, profile: string) =>
    iommufd(["probe", ...["6a:01.0", ABSENT], "--profile", profile, "--format", format, "--quiet"]);
  expect(probe("prometheus", "sapphire-rapids")).toMatchObject({ status: 1, stderr: reason });
  for (const [profile, reported, nests] of [
    ["sapphire-rapids", "true", "unknown"],
    // The other may report the erratum, or be without nesting.
    ["vtd-no-erratum", "unknown", "unknown"],
  ]) {
    expect(probe("nfd", profile as string)).toEqual({
      status: 1,
      stdout: `iommufd.available=true\niommufd.devices=2\niommufd.erratum-772415=${reported}\niommufd.nested-translation=${nests}\n`,
      stderr: reason,
    });
  }
  expect(iommufd(["probe", "01:00.0", ABSENT, "--profile", "none", "--format", "nfd"]).stdout).toContain(
    "iommufd.nested-translation=false\n",
  );
});

it("iommufd check names each that cannot be opened, and attaches the others: exit 3", () => {
  const outcome = iommufd([
    "check",
    GUEST,
    "--profile",
    HOST,
    "--device",
    ...BDFS.slice(0, 2),
    ABSENT,
    "0000:fe:00.0",
  ]);
  expect(outcome.status).toBe(3);
  expect(outcome.stdout).toContain(
    "refused: 2 of 4 devices cannot be opened or attached, nothing was mapped",
  );
  expect(outcome.stdout).toMatch(/^0000:ff:00\.0: ERR_IOMMUFD_NO_DEVICE, open\n {2}\S.*$/m);
  expect(outcome.stdout).toMatch(/^0000:fe:00\.0: ERR_IOMMUFD_NO_DEVICE, open\n {2}\S.*$/m);
  const json = iommufd(["check", GUEST, "--profile", HOST, "--json", "--device", BDFS[0] as string, ABSENT]);
  expect(JSON.parse(json.stdout)).toMatchObject({
    accepted: false,
    deviceObstacles: [{ device: ABSENT, syscall: "open", code: "ERR_IOMMUFD_NO_DEVICE", iommu: null }],
  });
  expect(iommufd(["check", GUEST, "--profile", HOST, "--device", ABSENT])).toMatchObject({
    status: 1,
    stdout: "",
  });
});
