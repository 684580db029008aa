#!/usr/bin/env node
/** The command `iommufd`: connects the program to the process it runs in. */

import { EXIT } from "./exit.ts";
import { printError } from "./output.ts";
import { run } from "./program.ts";

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // A reader that has seen enough (`iommufd … | head`) does not count as a failure. The work goes on: a page of --html may
  // be yet to be written, and the exit code is the command's.
  if (error.code === "EPIPE") return;
  printError(new Error(`cannot write to standard output: ${error.message.split(", ")[0]}`), false);
  process.exit(EXIT.failed);
});
// If this fails too, there is nowhere left to say it.
process.stderr.on("error", () => {});

process.exitCode = await run(process.argv.slice(2));
