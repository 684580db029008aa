/** The options of the commands about plans. */

import { type Command, Option } from "commander";
import type { BypassRoSetting } from "../container/errata.ts";
import { parseSize } from "./option-values.ts";
import { addBackendOptions, addCommonOptions, type BackendFlags, GROUPS } from "./options.ts";

/** Values of {@link addPlanOptions}. */
export interface PlanFlags extends BackendFlags {
  qmp?: string;
  libvirt?: string;
  addressSpace: string;
  nesting?: boolean;
  bypassRo: BypassRoSetting;
  json?: boolean;
  pageSize?: number;
  html?: string;
}

/**
 * Adds the memory map as an argument, and what a plan is made by.
 *
 * @param device the option that names devices
 */
export function addPlanOptions(command: Command, device: Option): Command {
  command
    .argument(
      "[file]",
      'the memory map; "-" is standard input, which is also read when it is a pipe or a file',
    )
    .optionsGroup(GROUPS.input)
    .option("--qmp <socket>", "ask a running QEMU instead, by its QMP socket (a Unix socket)")
    .option("--libvirt <domain>", "ask a running QEMU of libvirt instead, with virsh")
    .option("--address-space <name>", "the address space that the devices see", "memory")
    .option(
      "--nesting",
      "the VM wants nested translation (the default; a running QEMU says whether it was started with it)",
    )
    .option("--no-nesting", "the VM wants none")
    .addOption(
      new Option("--bypass-ro <when>", "leave out read-only sections: auto follows the IOMMU")
        .choices(["auto", "on", "off"])
        .default("auto"),
    )
    .optionsGroup(GROUPS.host)
    .addOption(device);
  return addCommonOptions(
    addBackendOptions(command)
      .option("--page-size <bytes>", "page size of the host, such as 64K (default: this host's)", parseSize)
      .optionsGroup(GROUPS.output)
      .option(
        "--html <file>",
        'also write the result as a page, to look at in a browser; "-" is standard output, and then nothing else is',
      ),
    { trace: true },
  );
}
