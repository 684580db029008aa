/** How the kernel was built, as far as it matters here. */

import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { readFileWhole } from "../files.ts";
import { FACT_LIMIT, tooLong } from "../limits.ts";
import { ifReadable, readFact } from "./readable.ts";

const OPTIONS = [
  "CONFIG_AMD_IOMMU",
  "CONFIG_ARM_SMMU_V3",
  "CONFIG_INTEL_IOMMU",
  "CONFIG_INTEL_IOMMU_DEFAULT_ON",
  "CONFIG_INTEL_IOMMU_SCALABLE_MODE_DEFAULT_ON",
  "CONFIG_IOMMUFD",
  "CONFIG_VFIO_DEVICE_CDEV",
] as const;

/** An option that matters. */
export type KernelOption = (typeof OPTIONS)[number];

/** The options that are set, with their values: "y", "m". */
export type KernelConfig = ReadonlyMap<KernelOption, string>;

const SET = new RegExp(`^(${OPTIONS.join("|")})=(.*)$`, "gm");

/**
 * Reads the configuration where distributions have it: /proc/config.gz, /boot/config-*, /lib/modules.
 *
 * @param release version of the kernel
 * @returns undefined where none can be read
 * @throws IommufdError ERR_IOMMUFD_INPUT: it is longer than any is
 */
export function readKernelConfig(root: string, release: string | undefined): KernelConfig | undefined {
  const text =
    unzipped(join(root, "proc/config.gz")) ??
    readFact(join(root, `boot/config-${release}`)) ??
    readFact(join(root, `lib/modules/${release}/config`));
  if (text === undefined) return undefined;
  const config = new Map<KernelOption, string>();
  // The others are thousands, and of no use.
  for (const [, name, value = ""] of text.matchAll(SET)) config.set(name as KernelOption, value);
  return config;
}

function unzipped(path: string): string | undefined {
  return ifReadable(() => {
    const bytes = readFileWhole(path, { limit: FACT_LIMIT });
    try {
      return gunzipSync(bytes, { maxOutputLength: FACT_LIMIT }).toString();
    } catch (error) {
      const isTooLong = (error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE";
      throw isTooLong ? tooLong(path, FACT_LIMIT, "what is packed in it") : error;
    }
  });
}
