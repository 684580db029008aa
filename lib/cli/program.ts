/** The commands, and what becomes of an error. */

import { styleText } from "node:util";
import { Command, CommanderError } from "commander";
import { IommufdError } from "../errors.ts";
import { VERSION } from "../origin.ts";
import { captureCommand } from "./commands/capture.ts";
import { checkCommand } from "./commands/check.ts";
import { completionCommand } from "./commands/completion.ts";
import { decodeCommand } from "./commands/decode.ts";
import { demoCommand } from "./commands/demo.ts";
import { diffCommand } from "./commands/diff.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { helpCommand } from "./commands/help.ts";
import { planCommand } from "./commands/plan.ts";
import { probeCommand } from "./commands/probe.ts";
import { serveCommand } from "./commands/serve.ts";
import { EXIT, EXIT_MEANINGS } from "./exit.ts";
import { LIMIT_STATEMENT } from "./input.ts";
import { GROUPS } from "./options.ts";
import { hasColours, LOOK, printError, printNote } from "./output.ts";

/** Errors that say: the command line or the input was wrong. */
const USAGE_CODES = new Set(["ERR_IOMMUFD_INPUT", "ERR_INVALID_ARG_TYPE", "ERR_OUT_OF_RANGE"]);

/** Runs a command line, without the name of the program; resolves to the exit code. */
export async function run(argv: readonly string[]): Promise<number> {
  process.exitCode = EXIT.done;
  try {
    await makeProgram().parseAsync(argv, { from: "user" });
    return Number(process.exitCode);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage; // it has said why
    printError(error, argv.includes("--debug"));
    return isUsageError(error) ? EXIT.usage : EXIT.failed;
  }
}

/** All commands, with their options and their help. */
export function makeProgram(): Command {
  const command = new Command("iommufd")
    .description(
      "Shows what a host's IOMMU allows for nested device assignment, and which DMA mappings are safe on it",
    )
    .version(VERSION)
    .helpCommand(false)
    .addHelpText("after", formatExitCodes())
    .exitOverride()
    .configureHelp({ styleTitle: (title) => styleText("bold", title, { validateStream: false }) })
    .configureOutput({
      outputError: (message) => printNote(oneLine(message)),
      getOutHelpWidth: () => LOOK.width,
      getErrHelpWidth: () => LOOK.width,
      // Commander itself gives NO_COLOR the last word, unlike Node.js.
      getOutHasColors: () => hasColours(process.stdout),
      getErrHasColors: () => hasColours(process.stderr),
    });
  for (const each of [
    probeCommand(),
    planCommand(),
    doctorCommand(),
    checkCommand(),
    diffCommand(),
    decodeCommand(),
    captureCommand(),
    demoCommand(),
    serveCommand(),
    completionCommand(),
    helpCommand(),
  ]) {
    each
      .copyInheritedSettings(command)
      .optionsGroup(GROUPS.diagnosis)
      .helpOption("-h, --help", "print this help");
    command.addCommand(each);
  }
  return command;
}

/** A complaint of the command-line parser, as all others are printed: "unknown command 'plna' (Did you mean plan?)". */
function oneLine(message: string): string {
  return message
    .trim()
    .replace(/^error: /, "")
    .replaceAll("\n", " ");
}

function formatExitCodes(): string {
  return [
    "",
    "Exit codes:",
    ...EXIT_MEANINGS.map(([code, meaning]) => `  ${String(code).padEnd(5)}${meaning}`),
    "",
    LIMIT_STATEMENT,
  ].join("\n");
}

function isUsageError(error: unknown): boolean {
  return error instanceof IommufdError || error instanceof TypeError || error instanceof RangeError
    ? USAGE_CODES.has((error as NodeJS.ErrnoException).code ?? "")
    : false;
}
