/** `iommufd completion`: a script that completes the command line. */

import { Argument, Command } from "commander";
import { formatCompletion, SHELLS, type Shell } from "../completion.ts";
import { addExamples } from "../examples.ts";

/** The command. */
export function completionCommand(): Command {
  const command = new Command("completion")
    .summary("print a script that completes the command line")
    .description(
      "Prints a script that completes commands, options and their values, files, the devices that vfio-pci has, and the " +
        "domains of libvirt. Have your shell load it when it starts.",
    )
    .addArgument(new Argument("<shell>", "the shell that you use").choices(SHELLS));
  return addExamples(
    command,
    'eval "$(iommufd completion bash)"    # in ~/.bashrc',
    "source <(iommufd completion zsh)     # in ~/.zshrc, after compinit",
    "iommufd completion fish | source     # in ~/.config/fish/config.fish",
  ).action(completion);
}

function completion(shell: Shell, _flags: object, { parent }: Command): void {
  if (parent !== null) process.stdout.write(formatCompletion(parent, shell));
}
