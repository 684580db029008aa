/** Profiles: shipped ones, captured ones, and wrong ones. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadProfile, profileJsonSchema } from "../../lib/backend/software/profile.ts";
import { captureProfile, decodeHwInfo, Iommufd, parseProfile, shippedProfiles } from "../../lib/index.ts";
import { profileJson } from "../fixtures/profiles.ts";

/** A profile with one field changed: `change("devices.0.bdf", 5)`. */
function changed(path: string, value: unknown, profile = "sapphire-rapids"): unknown {
  const json = profileJson(profile);
  const keys = path.split(".");
  const last = keys.pop() as string;
  const target = keys.reduce((object, key) => object[key] as never, json as Record<string, unknown>);
  if (value === undefined) delete target[last];
  else target[last] = value;
  return json;
}

/** A domain, as JSON. */
const PLAIN = { aperture: { start: "0x0", last: "0xffffffff" }, pageSizes: ["0x1000"] };

describe("the published schema", () => {
  it("is what profiles are checked against", () => {
    const file = new URL("../../profiles/profile.schema.json", import.meta.url);
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(profileJsonSchema());
  });
});

describe("capturing", () => {
  it.each(shippedProfiles().filter((name) => name !== "selftest"))(
    "the model of %s gives a profile that is modelled alike",
    (name) => {
      using iommufd = Iommufd.open({ profile: name });
      const { description } = loadProfile(name);
      const captured = captureProfile(iommufd, iommufd.devices(), { name, description });
      const [again, first] = [parseProfile(captured), loadProfile(name)];
      const ofDevice = (profile: typeof first) =>
        profile.devices.map(({ iommu, ...device }) => ({ ...device, iommu: profile.iommus[iommu] }));
      const smallest = (profile: ReturnType<typeof ofDevice>) =>
        JSON.stringify(profile, (key, value) =>
          key === "pageSizes" ? String(value[0]) : typeof value === "bigint" ? String(value) : value,
        );
      expect(smallest(ofDevice(again))).toBe(smallest(ofDevice(first)));
    },
  );

  it("asks whether a device sends page requests", () => {
    const profile = loadProfile("sapphire-rapids");
    for (const device of profile.devices) device.pri = true;
    using iommufd = Iommufd.open({ profile });
    const { devices } = parseProfile(
      captureProfile(iommufd, iommufd.devices().slice(0, 1), { name: "x", description: "" }),
    );
    expect(devices).toEqual([expect.objectContaining({ pri: true })]);
  });
});

describe("where values are from", () => {
  /** The paths of all values but who captured it, and what is for people. */
  const paths = (value: unknown, path = ""): string[] =>
    typeof value === "object" && value !== null
      ? Object.entries(value).flatMap(([key, each]) => paths(each, path === "" ? key : `${path}.${key}`))
      : [path];

  it.each(["sapphire-rapids", "vtd-6"])("%s: said of each value", (name) => {
    const { schema: _, name: __, description: ___, sources, ...machine } = profileJson(name);
    const known = Object.keys(sources as object);
    const untold = paths(machine).filter((path) => !known.some((each) => `${path}.`.startsWith(`${each}.`)));
    expect(untold).toEqual([]);
  });

  it("vtd-6 has the pair that was seen, sapphire-rapids CAP_REG alone", () => {
    const rows = readFileSync(new URL("../fixtures/vtd-registers.tsv", import.meta.url), "utf8");
    const [sapphireRapids, real] = ["sapphire-rapids", "vtd-6"].map((name) => {
      const hwInfo = loadProfile(name).iommus["dmar0"]?.hwInfo;
      if (hwInfo?.type !== "intel-vtd") throw new Error("no VT-d");
      return hwInfo;
    });
    expect(rows).toContain(`\t0x${real?.capReg.toString(16)}\t0x${real?.ecapReg.toString(16)}\t`);
    expect(rows).toContain(`\t0x${sapphireRapids?.capReg.toString(16)}\t-\t`);
    expect(sapphireRapids?.ecapReg).toBe((real?.ecapReg ?? 0n) | (1n << 40n));
  });

  it("a capture says what was asked; a path that leads nowhere is refused", () => {
    using iommufd = Iommufd.open({ profile: "vtd-6" });
    const captured = captureProfile(iommufd, iommufd.devices(), { name: "x", description: "" });
    expect(parseProfile(captured).sources).toMatchObject({
      iommus: expect.stringMatching(/^a model of vtd-6: IOMMU_GET_HW_INFO/),
    });
    expect(() => parseProfile(changed("sources", { "iommus.dmar0.capReg": "seen" }))).toThrow(
      "there is no such value in this profile",
    );
  });
});

describe("shipped profiles", () => {
  it("are there, valid, and called what their file is", () => {
    expect(shippedProfiles()).toEqual([
      "none",
      "qemu-amd",
      "qemu-smmuv3",
      "qemu-vtd",
      "sapphire-rapids",
      "selftest",
      "vtd-6",
      "vtd-no-erratum",
    ]);
    for (const name of shippedProfiles()) expect(loadProfile(name).name).toBe(name);
  });

  it.each(shippedProfiles())("%s is read without a check as it is with one", (name) => {
    const file = new URL(`../../profiles/${name}.json`, import.meta.url);
    expect(loadProfile(name)).toEqual(parseProfile(JSON.parse(readFileSync(file, "utf8"))));
  });

  it.each([
    ["sapphire-rapids", "intel-vtd", ["ERRATA_772415_SPR17"]],
    ["vtd-no-erratum", "intel-vtd", []],
    ["qemu-vtd", "intel-vtd", ["ERRATA_772415_SPR17"]],
    ["qemu-smmuv3", "arm-smmuv3", []],
    ["qemu-amd", "amd", []],
    ["none", "none", []],
  ])("%s is of type %s with flags %j", (profile, type, flags) => {
    using iommufd = Iommufd.open({ profile });
    using device = iommufd.openDevice(iommufd.devices()[0] as string);
    expect(decodeHwInfo(device.hwInfo())).toMatchObject({ type, flags });
  });

  it.each(["sapphire-rapids", "vtd-6", "vtd-no-erratum", "qemu-vtd"])(
    "%s has registers that agree with the domains it makes",
    (name) => {
      using iommufd = Iommufd.open({ profile: name });
      for (const bdf of iommufd.devices()) {
        using device = iommufd.openDevice(bdf);
        const { vtd, outCapabilities } = decodeHwInfo(device.hwInfo());
        const domains = Object.values(loadProfile(name).iommus)[0]?.domains;
        const width = (last: bigint) => last.toString(2).length;
        expect(vtd?.derived.nestedTranslation).toBe(domains?.nestParent !== undefined);
        expect(vtd?.derived.dirtyTracking).toBe(domains?.dirtyTracking !== undefined);
        expect(outCapabilities.includes("DIRTY_TRACKING")).toBe(domains?.dirtyTracking !== undefined);
        // Linux: the second stage has the widest of SAGAW that MGAW allows; the first stage half of its own.
        const second = Math.min(
          vtd?.derived.secondStageAddressWidths.at(-1) ?? 0,
          vtd?.derived.maxGuestAddressWidth ?? 0,
        );
        expect(width(domains?.nestParent?.aperture.last ?? 0n)).toBe(second);
        const first = vtd?.derived.firstStageAddressWidths.at(-1);
        expect(width(domains?.plain.aperture.last ?? 0n)).toBe(first === undefined ? second : first - 1);
        expect(domains?.nestParent?.pageSizes.map(Number)).toEqual(vtd?.derived.secondStagePageSizes);
      }
    },
  );

  it("without the erratum takes read-only mappings on a nest parent", () => {
    using iommufd = Iommufd.open({ profile: "vtd-no-erratum" });
    const ioas = iommufd.allocIoas();
    ioas.allocHwptSync(iommufd.openDevice("6a:01.0"), { nestParent: true });
    expect(ioas.mapSync(iommufd.allocMemory(4096n), { iova: 0n, writable: false })).toBe(0n);
  });

  it("whose IOMMU tells nothing makes page tables without any option only", () => {
    using iommufd = Iommufd.open({ profile: "none" });
    const device = iommufd.openDevice("01:00.0");
    const ioas = iommufd.allocIoas();
    using faultQueue = iommufd.allocFaultQueue();
    for (const options of [{ nestParent: true }, { dirtyTracking: true }, { pasid: true }, { faultQueue }]) {
      expect(() => ioas.allocHwptSync(device, options)).toThrow(
        expect.objectContaining({ code: "EOPNOTSUPP" }),
      );
    }
    expect(ioas.allocHwptSync(device).id).toBe(4);
  });
});

describe("a profile that does not fit", () => {
  it.each([
    ["schema", "iommufd.profile/2", "profile: schema: "],
    ["name", undefined, "profile: name: "],
    ["pageSize", 1000, "profile: pageSize: must be a power of two of at least 4096"],
    ["colour", "red", 'profile: the document: Unrecognized key: "colour"'],
    ["iommus.dmar0.hwInfo.capReg", 5, "profile: iommus.dmar0.hwInfo.capReg: "],
    ["iommus.dmar0.hwInfo.capReg", "0x", "profile: iommus.dmar0.hwInfo.capReg: must be a hexadecimal string"],
    ["iommus.dmar0.hwInfo.ecapReg", "-7", "hwInfo.ecapReg: must be a hexadecimal string"],
    ["iommus.dmar0.hwInfo.type", "smmu", "profile: iommus.dmar0.hwInfo.type: "],
    ["iommus.dmar0.hwInfo.flags", ["SPR17"], "profile: iommus.dmar0.hwInfo.flags[0]: "],
    [
      "iommus.dmar0.hwInfo.ecapReg",
      "0x1",
      "domains.nestParent: the hardware information says that it cannot nest",
    ],
    [
      "iommus.dmar0.domains.dirtyTracking",
      undefined,
      "devices[0].outCapabilities: its IOMMU has no domain that",
    ],
    ["devices.0.group", -1, "profile: devices[0].group: "],
    ["memlock", "much", "profile: memlock: must be a hexadecimal string"],
    ["iommus.dmar0.domains.plain", undefined, "profile: iommus.dmar0.domains.plain: "],
    ["iommus.dmar0.domains.plain.pageSizes", ["0x1001"], "pageSizes[0]: must be a power of two"],
    [
      "iommus.dmar0.domains.plain.aperture.start",
      "0xffffffffffffffff",
      "aperture: start must not be after last",
    ],
    ["devices.0.bdf", "6a:01.0", "profile: devices[0].bdf: must be a PCI address"],
    ["devices.1.bdf", "0000:6a:01.0", "profile: devices[1].bdf: 0000:6a:01.0 is there twice"],
    ["devices.1.iommu", "dmar9", 'profile: devices[1].iommu: no IOMMU of that name: "dmar9"'],
    ["devices.1.iommu", "constructor", "profile: devices[1].iommu: no IOMMU of that name"],
    ["devices.0.maxPasidLog2", 21, "profile: devices[0].maxPasidLog2: "],
    ["devices.0.outCapabilities", ["FLY"], "profile: devices[0].outCapabilities[0]: "],
  ])("because of %s = %j is refused with the path of the field", (path, value, message) => {
    expect(() => parseProfile(changed(path, value))).toThrow(
      expect.objectContaining({ code: "ERR_IOMMUFD_INPUT", message: expect.stringContaining(message) }),
    );
  });

  it.each([
    [
      "qemu-smmuv3",
      "hwInfo.registers.IDR0",
      "0x100000000",
      "hwInfo.registers.IDR0: must be a hexadecimal string of at most 32 bits",
    ],
    ["qemu-smmuv3", "hwInfo.registers.IDR5", undefined, "hwInfo.registers.IDR5: "],
    ["qemu-smmuv3", "hwInfo.registers.IDR6", "0x0", "hwInfo.registers: "],
    [
      "qemu-smmuv3",
      "hwInfo.registers.IDR0",
      "0x2",
      "domains.nestParent: the hardware information says that it cannot nest",
    ],
    [
      "qemu-smmuv3",
      "domains.nestParent",
      undefined,
      "viommu: a vIOMMU is made on a nest parent, and there is none",
    ],
    [
      "qemu-smmuv3",
      "domains.pasid",
      PLAIN,
      "domains.pasid: only AMD's IOMMU has page tables for PASIDs alone",
    ],
    ["qemu-smmuv3", "erratum772415", true, "erratum772415: the erratum is of Intel VT-d"],
    ["qemu-amd", "hwInfo.efr2", "0x0x", "hwInfo.efr2: must be a hexadecimal string"],
    [
      "qemu-amd",
      "domains.nestParent",
      PLAIN,
      "domains.nestParent: the hardware information says that it cannot nest",
    ],
    ["qemu-vtd", "viommu", true, "viommu: Linux makes no vIOMMUs of Intel VT-d"],
  ])("of %s because of %s = %j is refused with the path of the field", (name, path, value, message) => {
    expect(() => parseProfile(changed(`iommus.iommu0.${path}`, value, name))).toThrow(
      expect.objectContaining({
        code: "ERR_IOMMUFD_INPUT",
        message: expect.stringContaining(`profile: iommus.iommu0.${message}`),
      }),
    );
  });

  it("of an unknown name: the message names those that exist", () => {
    expect(() => Iommufd.open({ profile: "icelake" })).toThrow(
      'no profile "icelake"; there are none, qemu-amd, qemu-smmuv3, qemu-vtd, sapphire-rapids, selftest, vtd-6, vtd-no-erratum, or give the path of a JSON file',
    );
  });

  it.each(["none", "sapphire-rapids", "qemu-smmuv3"])(
    "of JSON that nobody has read, or of nothing, is refused at once: %s",
    (name) => {
      for (const profile of [
        profileJson(name),
        {},
        null,
        7,
        { iommus: {} },
        { devices: [], iommus: { x: {} } },
      ])
        expect(() => Iommufd.open({ profile: profile as never })).toThrow(
          expect.objectContaining({
            code: "ERR_INVALID_ARG_TYPE",
            message: expect.stringMatching(
              /^profile must be a name, a path, or what parseProfile\(\) returns, /,
            ),
          }),
        );
      expect(Iommufd.open({ profile: parseProfile(profileJson(name)) }).profile).toBe(name);
    },
  );

  it("in a file: the message names the file", () => {
    const directory = mkdtempSync(join(tmpdir(), "iommufd-profile-"));
    try {
      const file = join(directory, "host.json");
      expect(() => loadProfile(file)).toThrow(
        /^cannot read the profile \S+: ENOENT: no such file or directory$/,
      );
      writeFileSync(file, "{");
      expect(() => loadProfile(file)).toThrow(`${file}:1:2: not JSON: `);
      writeFileSync(file, JSON.stringify(changed("name", "my host")));
      expect(loadProfile(file).name).toBe("my host");
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
