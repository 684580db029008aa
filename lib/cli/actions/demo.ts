/** The action of `iommufd demo`: shows ERRATA_772415_SPR17 on modelled hardware. */

import { demonstrateErratum } from "../../demo/erratum.ts";
import { originOf } from "../../origin.ts";
import { demoDocument, formatDemo } from "../../report/demo-report.ts";
import { LOOK, printJson, printText } from "../output.ts";

/** Runs `iommufd demo`. */
export async function demo({ json = false }: { json?: boolean }): Promise<void> {
  const result = await demonstrateErratum();
  const origin = originOf({
    backend: "software",
    backendReason: `models of ${result.profiles.join(" and ")}`,
    profile: undefined,
    kernelRelease: undefined,
  });
  if (json) printJson(demoDocument(origin, result));
  else printText(formatDemo(origin, result, LOOK));
}
