/** The manual, iommufd(1), made of what the commands say of themselves; in mdoc(7). */

import type { Command } from "commander";
import { examplesOf } from "./examples.ts";
import { EXIT_MEANINGS } from "./exit.ts";
import { LIMIT_STATEMENT } from "./input.ts";

/** Files that the command uses, and what for. */
const FILES: readonly (readonly [path: string, use: string])[] = [
  ["/dev/iommu", "the kernel's iommufd"],
  ["/dev/vfio/devices/vfioN", "devices that a VFIO driver has"],
  ["/sys/class/iommu", "the IOMMUs of the host"],
];

/** Variables that the command, or what it runs, looks at. */
const ENVIRONMENT: readonly (readonly [name: string, use: string])[] = [
  ["IOMMUFD_BACKEND", "who answers where no option says so: auto, kernel or software"],
  ["LIBVIRT_DEFAULT_URI", "which libvirt --libvirt asks, as virsh has it"],
];

/**
 * The manual.
 *
 * @param date of the release: "January 1, 2026"
 */
export function formatManPage(program: Command, date: string): string {
  const name = program.name();
  const help = program.createHelp();
  const commands = help.visibleCommands(program).filter((command) => command.name() !== "help");
  return `${[
    `.Dd ${date}`,
    `.Dt ${name.toUpperCase()} 1`,
    ".Os",
    ".Sh NAME",
    `.Nm ${name}`,
    `.Nd ${running(uncapitalised(program.description()))}`,
    ".Sh SYNOPSIS",
    ...commands.flatMap((command) => [`.Nm ${name} ${command.name()}`, running(command.usage())]),
    ".Sh DESCRIPTION",
    running(`${program.description()}.`),
    "The kernel is asked.",
    "A model of one answers where it is asked for: with a profile, with a backend, or by IOMMUFD_BACKEND.",
    "Each report says in its first line who answered.",
    LIMIT_STATEMENT,
    ...commands.flatMap((command) => [
      `.Ss ${name} ${command.name()}`,
      running(command.description()),
      ...list(
        [
          ...help
            .visibleArguments(command)
            .map((each) => [each.name(), help.argumentDescription(each)] as const),
          ...help.visibleOptions(command).map((each) => [each.flags, help.optionDescription(each)] as const),
        ],
        "Ds",
      ),
      ".Pp",
      "Examples:",
      ".Bd -literal -offset indent",
      ...examplesOf(command).map(running),
      ".Ed",
    ]),
    ".Sh ENVIRONMENT",
    ...list(ENVIRONMENT, "Ds"),
    ".Sh FILES",
    ...list(FILES, "/dev/vfio/devices/vfioN"),
    ".Sh EXIT STATUS",
    ...list(
      EXIT_MEANINGS.map(([code, meaning]) => [String(code), meaning] as const),
      "Ds",
    ),
    ".Sh SEE ALSO",
    ".Xr qemu-system-x86_64 1 ,",
    ".Xr virsh 1",
  ].join("\n")}\n`;
}

/** Terms, and what they mean; `width` is as wide as the widest is to be. */
function list(items: readonly (readonly [term: string, meaning: string])[], width: string): string[] {
  return [
    `.Bl -tag -width ${width}`,
    ...items.flatMap(([term, meaning]) => [`.It "${running(term).replaceAll('"', '""')}"`, running(meaning)]),
    ".El",
  ];
}

/** Running text, a sentence a line: nothing in it is a request, or a hyphen that one could not copy. */
function running(content: string): string {
  return content
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll(/\. (?=[A-Z])/g, ".\n")
    .replaceAll(/^(?=[.'])/gm, "\\&");
}

function uncapitalised(content: string): string {
  return content.charAt(0).toLowerCase() + content.slice(1);
}
