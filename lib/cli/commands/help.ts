/** `iommufd help`: the help of a command, in the words of `--help`. */

import { Command } from "commander";

/** The command; in place of that of the library, which answers an unknown name with the help of everything. */
export function helpCommand(): Command {
  return new Command("help")
    .summary("display help for command")
    .description("Displays the help of a command, or of all.")
    .argument("[command]", "the command to explain")
    .action(help);
}

function help(name: string | undefined, _flags: object, { parent: program }: Command): void {
  const names = program?.commands.map((command) => command.name()) ?? [];
  const command = name === undefined ? program : program?.commands.find((each) => each.name() === name);
  if (command) command.help();
  program?.error(`unknown command '${name}'; there are ${names.join(", ")}`);
}
