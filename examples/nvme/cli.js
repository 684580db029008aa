#!/usr/bin/env node
// The command, as it is built: `npm run build:ts` makes JavaScript of this folder, for Node.js 20 runs no TypeScript.
import process from "node:process";
import { main } from "../../dist/examples/nvme/main.js";

process.exitCode = await main(process.argv.slice(2));
