/** The action of `iommufd capture`: writes this machine as a profile for the software backend. */

import { release, type as system } from "node:os";
import { normalizeBdf } from "../../bdf.ts";
import { captureProfile } from "../../container/capture.ts";
import { IommufdError } from "../../errors.ts";
import { withIommufd } from "../asked-iommufd.ts";
import { EXIT } from "../exit.ts";
import type { BackendFlags } from "../options.ts";
import { jsonText, printError, printJson } from "../output.ts";

interface CaptureFlags extends BackendFlags {
  name: string;
  description?: string;
  output?: string;
  debug?: boolean;
}

/** Runs `iommufd capture`. */
export async function capture(
  bdfs: string[],
  { name, description, output, ...flags }: CaptureFlags,
): Promise<void> {
  const profile = await withIommufd({ ...flags, json: true }, (iommufd) => {
    const which = bdfs.length > 0 ? bdfs.map(normalizeBdf) : iommufd.devices();
    if (which.length === 0) {
      throw new IommufdError(
        "ERR_IOMMUFD_NO_DEVICE",
        "no devices are bound to vfio-pci: there is nothing to capture",
      );
    }
    const source = iommufd.backend === "kernel" ? `${system()} ${release()}` : "a model";
    const words = { name, description: description ?? `Captured from ${source}.` };
    const captured = captureProfile(iommufd, which, words, (bdf, error) => {
      const { message } = error;
      printError(
        new Error(message.startsWith(bdf) ? message : `${bdf}: ${message}`, { cause: error }),
        flags.debug ?? false,
      );
      process.exitCode = EXIT.failed;
    });
    if (captured.devices.length > 0) return captured;
    throw new IommufdError("ERR_IOMMUFD_NO_DEVICE", "no device could be captured; nothing was written");
  });
  if (output === undefined) printJson(profile);
  else await (await import("../output-file.ts")).writeOutput(output, jsonText(profile));
}
