#!/usr/bin/env node
/** The command `iommufd`: connects the program to the process it runs in. */

import { run } from "./program.ts";

// A reader that has seen enough (`iommufd … | head`) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

process.exitCode = await run(process.argv.slice(2));
