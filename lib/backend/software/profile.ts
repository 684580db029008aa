/**
 * Profiles: the machines that the software backend can model, as JSON.
 *
 * A profile says what the kernel would: the hardware information of each IOMMU, the domains it can make, and the
 * devices behind it. docs/software-backend.md explains the fields. Shipped profiles are in `profiles/`.
 */

import { fileURLToPath } from "node:url";
import type { z } from "zod";
import { BDF_PATTERN } from "../../bdf.ts";
import { decodeText } from "../../encoding.ts";
import { IommufdError, isSystemError } from "../../errors.ts";
import { readFileWhole } from "../../files.ts";
import { checkJson, readJson, u64 } from "../../json.ts";
import { schema } from "../../lazy.ts";
import { originFields } from "../../origin.ts";
import { HW_CAPABILITY_BITS, VTD_FLAG_BITS } from "../../uapi.ts";
import { RELEASE_PATTERN } from "./kernel-release.ts";
import { SHIPPED, shippedProfiles } from "./shipped-profiles.ts";

/** ECAP_REG, bit 26: nested translation. */
const ECAP_NEST = 26n;
/** IDR0 of an SMMUv3, bits 0 and 1: both stages. */
const IDR0_BOTH_STAGES = 0b11n;
/** EFR of AMD's IOMMU, bits 4 and 48, and EFR2, bit 3: what Linux nests with (is_nest_parent_supported()). */
const [EFR_GTSUP, EFR_GIOSUP, EFR2_GCR3TRPMODE] = [4n, 48n, 3n];

/** The schema of profiles, and their content. */
const schemas = schema((z) => {
  const range = z
    .strictObject({
      /** Its first address, 64 bits. */
      start: u64(),
      /** Its last address, 64 bits. */
      last: u64(),
    })
    .refine(({ start, last }) => start <= last, { error: "start must not be after last" });

  const domain = z.strictObject({
    /** The IOVAs that the page table can translate. */
    aperture: range,
    /** Page sizes that it can map, in bytes. */
    pageSizes: z
      .array(
        u64().refine((size) => size > 0n && (size & (size - 1n)) === 0n, { error: "must be a power of two" }),
      )
      .min(1),
  });

  const intelVtd = z.strictObject({
    /** IOMMU_HW_INFO_TYPE_INTEL_VTD */
    type: z.literal("intel-vtd"),
    /** enum iommu_hw_info_vtd_flags, without IOMMU_HW_INFO_VTD_. */
    flags: z.array(z.enum(Object.keys(VTD_FLAG_BITS) as [keyof typeof VTD_FLAG_BITS])),
    /** CAP_REG, 64 bits. */
    capReg: u64(),
    /** ECAP_REG, 64 bits. */
    ecapReg: u64(),
  });

  const armSmmuv3 = z.strictObject({
    /** IOMMU_HW_INFO_TYPE_ARM_SMMUV3 */
    type: z.literal("arm-smmuv3"),
    /** Its identification registers, 32 bits each. */
    registers: z.record(
      z.enum(["IDR0", "IDR1", "IDR2", "IDR3", "IDR4", "IDR5", "IIDR", "AIDR"]),
      u64().refine((value) => value < 1n << 32n, {
        error: "must be a hexadecimal string of at most 32 bits",
      }),
    ),
  });

  const amd = z.strictObject({
    /** IOMMU_HW_INFO_TYPE_AMD */
    type: z.literal("amd"),
    /** The Extended Feature Register, 64 bits. */
    efr: u64(),
    /** The Extended Feature 2 Register, 64 bits. */
    efr2: u64(),
  });

  const none = z.strictObject({
    /** IOMMU_HW_INFO_TYPE_NONE: its driver gives no information. */
    type: z.literal("none"),
  });

  /** The kernel's mock devices (CONFIG_IOMMUFD_TEST), which have vIOMMUs. */
  const selftest = z.strictObject({
    /** IOMMU_HW_INFO_TYPE_SELFTEST */
    type: z.literal("selftest"),
  });

  const iommu = z.strictObject({
    /** The answer of IOMMU_GET_HW_INFO. */
    hwInfo: z.discriminatedUnion("type", [intelVtd, armSmmuv3, amd, none, selftest]),
    /**
     * Whether the hardware has ERRATA_772415_SPR17; absent: if the kernel reports it. True without the flag is a host
     * whose kernel does not know of it.
     */
    erratum772415: z.boolean().optional(),
    /** The domains that IOMMU_HWPT_ALLOC makes. */
    domains: z.strictObject({
      /** The domain that IOMMU_HWPT_ALLOC makes without flags. */
      plain: domain,
      /** The domain with NEST_PARENT; absent: EOPNOTSUPP. */
      nestParent: domain.optional(),
      /** The domain with DIRTY_TRACKING; absent: EOPNOTSUPP. */
      dirtyTracking: domain.optional(),
      /**
       * The domain that AMD's driver makes with PASID, in a format of its own; absent: EOPNOTSUPP. The others make the
       * plain one.
       */
      pasid: domain.optional(),
    }),
    /** Whether IOMMU_VIOMMU_ALLOC makes vIOMMUs of its type on a nest parent; absent: EOPNOTSUPP. */
    viommu: z.boolean().optional(),
  });

  const device = z.strictObject({
    /** Its PCI address. */
    bdf: z.string().regex(BDF_PATTERN, { error: 'must be a PCI address such as "0000:6a:01.0"' }),
    /** Which of the IOMMUs translates for it. */
    iommu: z.string(),
    /** The out_capabilities of IOMMU_GET_HW_INFO, without IOMMU_HW_CAP_. */
    outCapabilities: z.array(z.enum(Object.keys(HW_CAPABILITY_BITS) as [keyof typeof HW_CAPABILITY_BITS])),
    /** Width of its PASIDs in bits; 0: not enabled. */
    maxPasidLog2: z.int().min(0).max(20),
    /** IOVAs that attaching the device takes away. */
    reservedRegions: z.array(range),
    /** Its IOMMU group, where other devices are in it: the IOMMU cannot tell them apart. Absent: it has one for itself. */
    group: z.int().min(0).optional(),
    /** Whether it sends page requests (PCI Express PRI), so that its faults can go to a queue; absent: no. */
    pri: z.boolean().optional(),
    /** Whether it can be reset. */
    reset: z.boolean(),
    /** The number of regions in VFIO_DEVICE_GET_INFO. */
    numRegions: z.int().min(0).max(255),
    /** The number of kinds of interrupts in VFIO_DEVICE_GET_INFO. */
    numIrqs: z.int().min(0).max(255),
  });

  const profile = z
    .strictObject({
      /** The version of the format. */
      schema: z.literal("iommufd.profile/1"),
      /** The origin, if it was captured; absent: it was not. */
      ...originFields().partial().shape,
      /**
       * The Linux that is modelled: "6.12.48-amd64"; features that this release lacks are refused in its way. Absent or
       * null: 7.2.
       */
      kernelRelease: z
        .string()
        .regex(RELEASE_PATTERN, { error: 'must begin with a version of Linux such as "6.12"' })
        .nullish(),
      /** For people. */
      name: z.string().min(1),
      /** For people: what it is, and where it is from. */
      description: z.string(),
      /** Page size of the host, in bytes. */
      pageSize: z.int().refine((size) => size >= 4096 && (size & (size - 1)) === 0, {
        error: "must be a power of two of at least 4096",
      }),
      /** RLIMIT_MEMLOCK: how much memory may be mapped for DMA, in bytes, by a program without privileges; absent: it is root's. */
      memlock: u64().optional(),
      /**
       * Where the values are from: seen on a machine, read in a source, computed, made up. By path, "iommus.dmar0.hwInfo.capReg"; one
       * of an object is for all in it that has none of its own.
       */
      sources: z.record(z.string(), z.string().min(1)).optional(),
      /** The IOMMUs, by name. */
      iommus: z.record(z.string(), iommu),
      /** The devices that vfio-pci has. */
      devices: z.array(device),
    })
    .superRefine((document, context) => {
      const { iommus, devices, sources = {} } = document;
      const refuse = (path: (string | number)[], message: string) =>
        context.addIssue({ code: "custom", path, message });
      for (const [name, { hwInfo, domains, erratum772415, viommu }] of Object.entries(iommus)) {
        if (domains.nestParent !== undefined && !canNest(hwInfo))
          refuse(
            ["iommus", name, "domains", "nestParent"],
            "the hardware information says that it cannot nest",
          );
        if (domains.pasid !== undefined && hwInfo.type !== "amd")
          refuse(["iommus", name, "domains", "pasid"], "only AMD's IOMMU has page tables for PASIDs alone");
        if (viommu && domains.nestParent === undefined)
          refuse(["iommus", name, "viommu"], "a vIOMMU is made on a nest parent, and there is none");
        if (viommu && hwInfo.type === "intel-vtd")
          refuse(["iommus", name, "viommu"], "Linux makes no vIOMMUs of Intel VT-d");
        if (hwInfo.type === "none" && domains.dirtyTracking !== undefined)
          refuse(
            ["iommus", name, "domains", "dirtyTracking"],
            "an IOMMU without hardware information has none",
          );
        if (hwInfo.type !== "intel-vtd" && erratum772415 === true)
          refuse(["iommus", name, "erratum772415"], "the erratum is of Intel VT-d");
      }
      for (const path of Object.keys(sources))
        if (valueAt(document, path) === undefined)
          refuse(["sources", path], "there is no such value in this profile");
      const seen = new Set<string>();
      for (const [index, { bdf, iommu: name, outCapabilities }] of devices.entries()) {
        if (
          outCapabilities.includes("DIRTY_TRACKING") &&
          Object.hasOwn(iommus, name) &&
          iommus[name]?.domains.dirtyTracking === undefined
        )
          refuse(["devices", index, "outCapabilities"], "its IOMMU has no domain that tracks dirty pages");
        if (!Object.hasOwn(iommus, name)) {
          refuse(["devices", index, "iommu"], `no IOMMU of that name: ${JSON.stringify(name)}`);
        }
        const mate = devices.find(
          (other) => other.group !== undefined && other.group === devices[index]?.group,
        );
        if (mate !== undefined && mate.iommu !== name)
          refuse(
            ["devices", index, "iommu"],
            `group ${mate.group} is behind ${mate.iommu}, as ${mate.bdf} has it`,
          );
        if (seen.has(bdf)) refuse(["devices", index, "bdf"], `${bdf} is there twice`);
        seen.add(bdf);
      }
    });

  return { profile, iommu, domain, device };
});

/** Whether the registers allow nested translation. */
function canNest(hwInfo: IommuProfile["hwInfo"]): boolean {
  const has = (register: bigint, bit: bigint) => ((register >> bit) & 1n) === 1n;
  switch (hwInfo.type) {
    case "selftest":
      return true;
    case "none":
      return false;
    case "intel-vtd":
      return has(hwInfo.ecapReg, ECAP_NEST);
    case "arm-smmuv3":
      return (hwInfo.registers.IDR0 & IDR0_BOTH_STAGES) === IDR0_BOTH_STAGES;
    case "amd":
      return has(hwInfo.efr, EFR_GTSUP) && has(hwInfo.efr, EFR_GIOSUP) && has(hwInfo.efr2, EFR2_GCR3TRPMODE);
  }
}

/** The value at a path: "devices.0.bdf". */
function valueAt(document: object, path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>(
      (value, key) =>
        typeof value === "object" && value !== null && Object.hasOwn(value, key)
          ? (value as Record<string, unknown>)[key]
          : undefined,
      document,
    );
}

const jsonSchema = schema((z) => z.toJSONSchema(schemas().profile, { io: "input" }));

/** The JSON Schema of a profile document (draft 2020-12): `profiles/profile.schema.json`. */
export function profileJsonSchema(): object {
  return {
    title: "A machine for the software backend of iommufd",
    ...jsonSchema(),
  };
}

type Schemas = ReturnType<typeof schemas>;

/** A machine for the software backend to model. */
export interface Profile extends z.output<Schemas["profile"]> {}
/** One of its IOMMUs. */
export interface IommuProfile extends z.output<Schemas["iommu"]> {}
/** The hardware information of an IOMMU of that type. */
export type HwInfoProfile<Type extends IommuProfile["hwInfo"]["type"]> = Extract<
  IommuProfile["hwInfo"],
  { type: Type }
>;
/** A domain that an IOMMU can make. */
export interface DomainProfile extends z.output<Schemas["domain"]> {}
/** One of its devices. */
export interface DeviceProfile extends z.output<Schemas["device"]> {}

/**
 * Loads a profile.
 *
 * @param nameOrFile the name of a shipped one, or the path of a JSON file (a name with a "/" or a ".")
 * @throws IommufdError ERR_IOMMUFD_INPUT: there is no such profile, or it does not fit, with the path of the field
 */
export function loadProfile(nameOrFile: string): Profile {
  if (/[/.]/.test(nameOrFile)) return readJson(readProfileFile(nameOrFile), schemas().profile, nameOrFile);
  if (shippedProfiles().includes(nameOrFile)) return readShipped(nameOrFile);
  throw new IommufdError(
    "ERR_IOMMUFD_INPUT",
    `no profile ${JSON.stringify(nameOrFile)}; there are ${shippedProfiles().join(", ")}, or give the path of a JSON file`,
  );
}

/**
 * Reads a profile that comes with the package. Those need no check at each start: a test reads each both ways. All that has to be
 * done is to make numbers of the strings that are hexadecimal.
 */
function readShipped(name: string): Profile {
  const text = readProfileFile(fileURLToPath(new URL(`${name}.json`, SHIPPED)));
  return JSON.parse(text, (_key, value) =>
    typeof value === "string" && /^0x[0-9a-f]+$/.test(value) ? BigInt(value) : value,
  ) as Profile;
}

/**
 * Checks a profile that was not read from a file.
 *
 * @throws IommufdError ERR_IOMMUFD_INPUT, with the path of the field
 */
export function parseProfile(value: unknown): Profile {
  return checkJson(value, schemas().profile, "profile");
}

function readProfileFile(path: string): string {
  try {
    return decodeText(readFileWhole(path, { wait: true }));
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const [why] = error.message.split(", ");
    throw new IommufdError("ERR_IOMMUFD_INPUT", `cannot read the profile ${path}: ${why}`, { cause: error });
  }
}
