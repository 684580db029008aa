/** `iommufd doctor`: whether this host is ready for iommufd with nesting. */

import { Command } from "commander";
import { normalizeBdf } from "../../bdf.ts";
import { IommufdError } from "../../errors.ts";
import { diagnose } from "../../host/doctor.ts";
import { doctorDocument, formatDoctor, isReady } from "../../report/doctor-report.ts";
import { formatOrigin } from "../../report/text.ts";
import { addExamples } from "../examples.ts";
import { EXIT } from "../exit.ts";
import { addCommonOptions, addRootOption, DEVICES_ARGUMENT } from "../options.ts";
import { LOOK, printJson, printText } from "../output.ts";

/** The command. */
export function doctorCommand(): Command {
  const command = new Command("doctor")
    .summary("tell whether this host is ready, and what to do")
    .description(
      "Looks at the kernel, its configuration and its log, /dev/iommu, the IOMMUs and whether interrupts are isolated, the " +
        "processor, what installed QEMUs do, the limit on locked memory, and the devices that a VM is to get: their driver, " +
        "permissions, IOMMU group and users. It opens no device and changes nothing, and needs no privileges; what it cannot " +
        "see it says, and how to find out. What devices answer only `iommufd probe` tells. Exit code 3: something stands in the way.",
    )
    .argument(...DEVICES_ARGUMENT);
  return addExamples(
    addCommonOptions(addRootOption(command)),
    "iommufd doctor",
    "iommufd doctor 6a:01.0 --json",
  ).action(doctor);
}

function doctor(bdfs: string[], { root, json = false }: { root: string; json?: boolean }): void {
  const { platform } = process;
  if (root === "/" && platform !== "linux") {
    throw new IommufdError(
      "ERR_IOMMUFD_NO_KERNEL_BACKEND",
      `this is ${platform}, and only Linux has iommufd; of another machine doctor looks at a recorded tree (--root)`,
    );
  }
  const diagnosis = diagnose(root, bdfs.map(normalizeBdf));
  if (json) printJson(doctorDocument(diagnosis));
  else printText(`${formatOrigin(diagnosis.origin, LOOK.width)}\n\n${formatDoctor(diagnosis, LOOK)}`);
  if (!isReady(diagnosis.checks)) process.exitCode = EXIT.no;
}
