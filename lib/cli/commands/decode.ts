/** `iommufd decode`: what VT-d's capability registers say. */

import { Command, Option } from "commander";
import { addExamples } from "../examples.ts";
import { later } from "../later.ts";
import { parseRegister } from "../option-values.ts";
import { addCommonOptions, addRootOption, GROUPS } from "../options.ts";

/** The command. */
export function decodeCommand(): Command {
  const command = new Command("decode")
    .summary("explain VT-d's capability registers")
    .description(
      "Explains the fields of CAP_REG and ECAP_REG. By default the registers come from this host's VT-d units, as sysfs shows " +
        "them (/sys/class/iommu/dmar0/intel-iommu/cap and ecap). They can also come from a kernel log, or from two numbers.",
    )
    .optionsGroup(GROUPS.input)
    .addOption(new Option("--cap <register>", "CAP_REG, in hexadecimal").argParser(parseRegister))
    .addOption(new Option("--ecap <register>", "ECAP_REG, in hexadecimal").argParser(parseRegister))
    .addOption(
      new Option("--dmesg <file>", 'find the registers in a kernel log; "-" is standard input').conflicts([
        "cap",
        "ecap",
      ]),
    );
  return addExamples(
    addCommonOptions(addRootOption(command)),
    "iommufd decode",
    "iommufd decode --cap 0xd2008c22260286 --ecap 0x480084f00f4a",
    "dmesg | iommufd decode --dmesg -",
  ).action(later(async () => (await import("../actions/decode.ts")).decode));
}
