/** `iommufd decode`: what VT-d's capability registers say. */

import { Command, Option } from "commander";
import { IommufdError } from "../../errors.ts";
import { type DmarUnit, findDmarUnits } from "../../host/dmesg.ts";
import { eachLine } from "../../lines.ts";
import { originOf } from "../../origin.ts";
import { formatVtd, formatVtdUnits, vtdDocument, vtdUnitsDocument } from "../../report/vtd-report.ts";
import { addExamples } from "../examples.ts";
import { parseRegister, readChunks, sourceName } from "../input.ts";
import { addCommonOptions } from "../options.ts";
import { printJson, printText } from "../output.ts";

interface DecodeFlags {
  cap?: bigint;
  ecap?: bigint;
  dmesg?: string;
  json?: boolean;
}

/** The command. */
export function decodeCommand(): Command {
  const command = new Command("decode")
    .summary("explain VT-d's capability registers")
    .description(
      "Explains the fields of CAP_REG and ECAP_REG. Both are in the kernel log, and in sysfs: " +
        "/sys/class/iommu/dmar0/intel-iommu/cap and ecap.",
    )
    .addOption(new Option("--cap <register>", "CAP_REG, in hexadecimal").argParser(parseRegister))
    .addOption(new Option("--ecap <register>", "ECAP_REG, in hexadecimal").argParser(parseRegister))
    .addOption(
      new Option(
        "--dmesg <file>",
        'find the registers in a kernel log instead; "-" is standard input',
      ).conflicts(["cap", "ecap"]),
    );
  return addExamples(
    addCommonOptions(command),
    "iommufd decode --cap 0xd2008c22260286 --ecap 0x480084f00f4a",
    "dmesg | iommufd decode --dmesg -",
  ).action(decode);
}

async function decode({ cap, ecap, dmesg, json = false }: DecodeFlags): Promise<void> {
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
