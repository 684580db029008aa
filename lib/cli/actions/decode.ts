/** The action of `iommufd decode`: explains VT-d's capability registers. */

import { IommufdError } from "../../errors.ts";
import { type DmarUnit, findDmarUnits } from "../../host/dmesg.ts";
import { eachLine } from "../../lines.ts";
import { originOf } from "../../origin.ts";
import { formatVtd, formatVtdUnits, vtdDocument, vtdUnitsDocument } from "../../report/vtd-report.ts";
import { readChunks, sourceName } from "../input.ts";
import { printJson, printText } from "../output.ts";

interface DecodeFlags {
  cap?: bigint;
  ecap?: bigint;
  dmesg?: string;
  json?: boolean;
}

/** Runs `iommufd decode`. */
export async function decode({ cap, ecap, dmesg, json = false }: DecodeFlags): Promise<void> {
  const origin = originOf(undefined);
  if (dmesg !== undefined) {
    const units: DmarUnit[] = [];
    await eachLine(readChunks(dmesg), (line) => units.push(...findDmarUnits(line)));
    if (units.length === 0) {
      throw new IommufdError(
        "ERR_IOMMUFD_INPUT",
        `${sourceName(dmesg)}: no line "DMAR: dmarN: … cap … ecap …" in it`,
      );
    }
    if (json) printJson(vtdUnitsDocument(origin, units));
    else printText(formatVtdUnits(origin, units));
    return;
  }
  if (cap === undefined || ecap === undefined) {
    throw new IommufdError("ERR_IOMMUFD_INPUT", "give both --cap and --ecap, or --dmesg");
  }
  if (json) printJson(vtdDocument(origin, cap, ecap));
  else printText(formatVtd(origin, cap, ecap));
}
