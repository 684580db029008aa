/** The model of an AMD IOMMU that nests, which QEMU's does not: by the source of Linux 7.2 (drivers/iommu/amd), not seen on a machine. */

import { afterEach, beforeEach, expect, it } from "vitest";
import {
  captureProfile,
  type Device,
  decodeHwInfo,
  type Ioas,
  Iommufd,
  parseProfile,
} from "../../lib/index.ts";
import { profileJson } from "../fixtures/profiles.ts";

/** QEMU's, with GIoSup, HDSup and GCR3TRPMode. */
const nesting = (() => {
  const json = profileJson("qemu-amd");
  const [iommu] = Object.values(json.iommus);
  const [device] = json.devices;
  if (iommu === undefined || device === undefined) throw new Error("the profile is empty");
  iommu.hwInfo = { type: "amd", efr: "0x110000000029d3", efr2: "0x8" };
  const { plain } = iommu.domains;
  Object.assign(iommu, {
    viommu: true,
    domains: { plain, nestParent: plain, dirtyTracking: plain, pasid: plain },
  });
  device["outCapabilities"] = ["DIRTY_TRACKING"];
  return parseProfile(json);
})();

let iommufd: Iommufd;
let device: Device;
let ioas: Ioas;

beforeEach(() => {
  iommufd = Iommufd.open({ profile: nesting });
  device = iommufd.openDevice("0000:00:01.0");
  ioas = iommufd.allocIoas();
});

afterEach(() => iommufd.close());

const unsupported = (syscall: string) => expect.objectContaining({ code: "EOPNOTSUPP", syscall });

it("nests as far as its registers say", () => {
  expect(decodeHwInfo(device.hwInfo()).amd?.derived).toMatchObject({
    nestedTranslation: true,
    dirtyTracking: true,
  });
});

it("is captured with all that it makes", () => {
  device.close();
  const captured = captureProfile(iommufd, ["0000:00:01.0"], { name: "amd", description: "" });
  expect(parseProfile(captured).iommus["iommu0"]).toEqual(nesting.iommus["iommu0"]);
});

it("makes nest parents and vIOMMUs of any type, and no nested page tables on either: EOPNOTSUPP", () => {
  const parent = ioas.allocHwptSync(device, { nestParent: true });
  const data = { type: "amd-guest", dte: [1n, 0n, 0n, 0n] } as const;
  expect(() => parent.allocNestedSync(device, data)).toThrow(unsupported("IOMMU_HWPT_ALLOC"));
  const viommu = parent.allocViommu(device, { type: 77, bytes: new Uint8Array(0) });
  expect(() => parent.allocNestedSync(device, data, { viommu })).toThrow(unsupported("IOMMU_HWPT_ALLOC"));
  expect(() => viommu.invalidate([[0n, 0n]])).toThrow(unsupported("IOMMU_HWPT_INVALIDATE"));
  expect(viommu.allocVdevice(device, 8n).virtId).toBe(8n);
});

it("tracks dirty pages on nest parents too, and on none for PASIDs: EOPNOTSUPP", () => {
  const made = ioas.allocHwptSync(device, { nestParent: true, dirtyTracking: true });
  made.setDirtyTracking(true);
  expect(ioas.allocHwptSync(device, { pasid: true }).id).toBeGreaterThan(made.id);
  for (const options of [
    { pasid: true, nestParent: true },
    { pasid: true, dirtyTracking: true },
  ])
    expect(() => ioas.allocHwptSync(device, options)).toThrow(unsupported("IOMMU_HWPT_ALLOC"));
});
