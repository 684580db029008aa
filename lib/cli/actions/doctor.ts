/** The action of `iommufd doctor`: says whether this host is ready for iommufd with nesting. */

import { normalizeBdf } from "../../bdf.ts";
import { IommufdError } from "../../errors.ts";
import { diagnose } from "../../host/doctor.ts";
import { doctorDocument, formatDoctor, isReady } from "../../report/doctor-report.ts";
import { formatOrigin } from "../../report/text.ts";
import { EXIT } from "../exit.ts";
import { LOOK, printJson, printText } from "../output.ts";

/** Runs `iommufd doctor`. */
export function doctor(bdfs: string[], { root, json = false }: { root: string; json?: boolean }): void {
  const { platform } = process;
  if (root === "/" && platform !== "linux") {
    throw new IommufdError(
      "ERR_IOMMUFD_NO_KERNEL_BACKEND",
      `this is ${platform}, and only Linux has iommufd; doctor looks at a recorded tree of another machine (--root)`,
    );
  }
  const diagnosis = diagnose(root, bdfs.map(normalizeBdf));
  if (json) printJson(doctorDocument(diagnosis));
  else printText(`${formatOrigin(diagnosis.origin, LOOK.width)}\n\n${formatDoctor(diagnosis, LOOK)}`);
  if (!isReady(diagnosis.checks)) process.exitCode = EXIT.no;
}
