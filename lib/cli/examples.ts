/** Examples of commands, for their help and the manual. */

import type { Command } from "commander";

const EXAMPLES = new WeakMap<Command, readonly string[]>();

/** Adds command lines to a command's help. */
export function addExamples(command: Command, ...lines: readonly string[]): Command {
  EXAMPLES.set(command, lines);
  const heading = lines.length === 1 ? "Example:" : "Examples:";
  return command.addHelpText("after", ["", heading, ...lines.map((line) => `  ${line}`)].join("\n"));
}

/** The examples of a command, one a line. */
export function examplesOf(command: Command): readonly string[] {
  return EXAMPLES.get(command) ?? [];
}
