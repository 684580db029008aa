/** The action of `iommufd decode`: explains VT-d's capability registers. */

import { IommufdError } from "../../errors.ts";
import { type DmarUnit, dmarUnitsOf, limitUnits } from "../../host/dmesg.ts";
import type { VtdUnit } from "../../host/vtd-units.ts";
import { eachLine } from "../../lines.ts";
import { type Origin, originOf, originOfMachine } from "../../origin.ts";
import { formatVtd, formatVtdUnits, vtdDocument, vtdUnitsDocument } from "../../report/vtd-report.ts";
import { readChunks, sourceName } from "../input.ts";
import { LOOK, printJson, printText } from "../output.ts";

interface DecodeFlags {
  cap?: bigint;
  ecap?: bigint;
  dmesg?: string;
  root: string;
  json?: boolean;
}

/** Runs `iommufd decode`. */
export async function decode({ cap, ecap, dmesg, root, json = false }: DecodeFlags): Promise<void> {
  if (dmesg !== undefined) return print(originOf(undefined), await unitsOfLog(dmesg), json);
  if (cap === undefined && ecap === undefined) return decodeHost(root, json);
  if (cap === undefined || ecap === undefined)
    throw new IommufdError("ERR_IOMMUFD_INPUT", "give both --cap and --ecap, or --dmesg, or none of them");
  const origin = originOf(undefined);
  if (json) printJson(vtdDocument(origin, cap, ecap));
  else printText(formatVtd(origin, cap, ecap, LOOK));
}

async function unitsOfLog(file: string): Promise<DmarUnit[]> {
  const units: DmarUnit[] = [];
  await eachLine(readChunks(file), (line) => {
    for (const unit of dmarUnitsOf(line)) limitUnits(units.push(unit), sourceName(file));
  });
  if (units.length > 0) return units;
  throw new IommufdError(
    "ERR_IOMMUFD_INPUT",
    `${sourceName(file)}: no line "DMAR: dmarN: … cap … ecap …" in it`,
  );
}

async function decodeHost(root: string, json: boolean): Promise<void> {
  const { Machine } = await import("../../host/machine.ts");
  const machine = new Machine(root);
  if (machine.vtdUnits.length === 0) {
    const { listIommus } = await import("../../host/vtd-units.ts");
    const others = listIommus(root).join(", ");
    throw new IommufdError(
      "ERR_IOMMUFD_INPUT",
      `no VT-d unit in /sys/class/iommu (${others === "" ? "it is empty" : `there: ${others}`}): give both --cap and --ecap, or --dmesg`,
    );
  }
  print(originOfMachine(machine), machine.vtdUnits, json);
}

function print(origin: Origin, units: readonly VtdUnit[], json: boolean): void {
  if (json) printJson(vtdUnitsDocument(origin, units));
  else printText(formatVtdUnits(origin, units, LOOK));
}
