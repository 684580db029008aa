/** The kind of machine that advice is for: the vendor of its IOMMU, and whether this is a guest or a container. */

/** The vendor of the IOMMU. */
export type IommuMake = "intel" | "amd" | "arm";

/** The kind of this machine. */
export interface Platform {
  /** By the IOMMUs that are in use, else by the processor; undefined if neither shows it. */
  readonly make: IommuMake | undefined;
  /** A guest of a hypervisor: its IOMMU is one that the hypervisor gives it, or does not. */
  readonly guest: boolean;
  /** The cloud of a guest; undefined if there is none, or if it is unknown. */
  readonly cloud: string | undefined;
  /** This process is in a container: the kernel is the host's, and files are there that the container was given. */
  readonly container: boolean;
}

/** The name of a make's IOMMU. */
export const IOMMU_NAMES: Readonly<Record<IommuMake, string>> = {
  intel: "Intel VT-d",
  amd: "AMD-Vi",
  arm: "Arm SMMUv3",
};

/** How drivers name their IOMMUs in /sys/class/iommu: dmar0, ivhd0, smmu3.0x0000000009050000. */
const BY_IOMMU: readonly (readonly [RegExp, IommuMake])[] = [
  [/^dmar\d+$/, "intel"],
  [/^ivhd\d+$/, "amd"],
  [/^smmu3\./, "arm"],
];

const BY_VENDOR: Readonly<Record<string, IommuMake>> = {
  GenuineIntel: "intel",
  AuthenticAMD: "amd",
  HygonGenuine: "amd",
};

/** How clouds name themselves in the DMI table (sys_vendor, chassis_asset_tag), as systemd-detect-virt and cloud-init know them. */
const CLOUDS: readonly (readonly [RegExp, string])[] = [
  [/^Amazon EC2$/m, "Amazon EC2"],
  [/^Google$/m, "Google Compute Engine"],
  [/^7783-7084-3265-9085-8269-3286-77$/m, "Microsoft Azure"],
  [/^OracleCloud\.com$/m, "Oracle Cloud"],
  [/^Alibaba Cloud$/m, "Alibaba Cloud"],
  [/^DigitalOcean$/m, "DigitalOcean"],
  [/^Hetzner$/m, "Hetzner"],
];

/**
 * How guests on Arm name themselves, where no flag of the processor shows them (systemd's detect_vm_dmi()). Amazon's hosts have
 * the same vendor, and "metal" in the name of the product.
 */
const GUESTS_BY_VENDOR = /^(QEMU|Amazon EC2|Google|Alibaba Cloud|Hetzner|OpenStack Foundation)$/m;
const GUESTS_BY_PRODUCT = /^(KVM )?Virtual Machine$/m;

/** Files that container managers leave in a container (Docker, Podman, systemd-nspawn and LXC). */
const CONTAINER_MARKS = [".dockerenv", "run/.containerenv", "run/systemd/container", "dev/.lxc-boot-id"];

/**
 * Finds the kind of machine that a tree is from.
 *
 * @param read the text of a file of the tree; undefined where it is not there
 */
export function platformOf(iommus: readonly string[], read: (path: string) => string | undefined): Platform {
  const cpuinfo = read("proc/cpuinfo") ?? "";
  const dmi = (name: string) => read(`sys/class/dmi/id/${name}`) ?? "";
  const names = ["sys_vendor", "chassis_asset_tag"].map(dmi);
  const product = dmi("product_name");
  // CPUID leaf 1, ECX bit 31, which hypervisors set for their guests. The same clouds name themselves on bare metal, too.
  const guest =
    /^flags\s*:.*\bhypervisor\b/m.test(cpuinfo) ||
    read("sys/hypervisor/type") !== undefined ||
    (makeOfProcessor(cpuinfo) === "arm" &&
      (GUESTS_BY_PRODUCT.test(product) ||
        (GUESTS_BY_VENDOR.test(dmi("sys_vendor")) && !product.includes("metal"))));
  return {
    make: makeOf(iommus) ?? makeOfProcessor(cpuinfo),
    guest,
    cloud: guest ? CLOUDS.find(([pattern]) => names.some((text) => pattern.test(text)))?.[1] : undefined,
    container:
      CONTAINER_MARKS.some((mark) => read(mark) !== undefined) ||
      /\/(docker|kubepods|libpod|lxc)\b/.test(read("proc/self/cgroup") ?? ""),
  };
}

function makeOf(iommus: readonly string[]): IommuMake | undefined {
  for (const [pattern, make] of BY_IOMMU) if (iommus.some((name) => pattern.test(name))) return make;
  return undefined;
}

function makeOfProcessor(cpuinfo: string): IommuMake | undefined {
  const vendor = cpuinfo.match(/^vendor_id\s*: (\w+)$/m)?.[1];
  if (vendor !== undefined) return BY_VENDOR[vendor];
  return /^CPU implementer\s*:/m.test(cpuinfo) ? "arm" : undefined;
}
