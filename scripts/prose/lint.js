#!/usr/bin/env node
// Holds the rules of plain English over documents, comments and messages: npm run lint. With names of files or folders, of these.

import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { findings } from "./findings.js";

/** Folders that tools make, and captures of other programs. */
const OTHERS = /^(?:\.git|node_modules|build|dist|coverage|prebuilds|test\/fixtures)$/;
const PROSE = /\.(?:md|ts|js|mjs|cc|h|sh|ya?ml|service|timer|socket)$|^\.ci\/run$/;

/** Files with prose, in a folder and below. */
function filesOf(path) {
  if (!statSync(path || ".").isDirectory()) return [path];
  return readdirSync(path || ".", { withFileTypes: true }).flatMap((entry) => {
    const name = join(path, entry.name);
    if (OTHERS.test(name)) return [];
    if (entry.isDirectory()) return filesOf(name);
    return PROSE.test(name) ? [name] : [];
  });
}

const named = process.argv.slice(2);
const files = (named.length === 0 ? [""] : named).flatMap(filesOf);
let count = 0;
for (const file of files)
  for (const { line, rule, instead, excerpt } of findings(file, readFileSync(file, "utf8"))) {
    console.log(`${file}:${line}: ${rule}: ${instead}: ${JSON.stringify(excerpt)}`);
    count++;
  }
console.log(`${files.length} files, ${count} findings of prose`);
process.exitCode = count === 0 ? 0 : 1;
