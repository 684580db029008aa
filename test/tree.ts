/** The project's own files: what no tool has made. */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { PROJECT } from "./e2e/command.ts";

const OTHERS = /^(\..*|node_modules|build|dist|coverage|prebuilds|package-lock\.json)$/;

/** A folder and the names of the files in it. */
export interface Folder {
  /** Within the project; "" is the project itself. */
  readonly path: string;
  readonly files: readonly string[];
}

/** A folder of the project, and those below it. */
export function foldersOf(path = ""): Folder[] {
  const entries = readdirSync(join(PROJECT, path), { withFileTypes: true }).filter(
    ({ name }) => !OTHERS.test(name),
  );
  return [
    { path, files: entries.filter((entry) => entry.isFile()).map(({ name }) => name) },
    ...entries.filter((entry) => entry.isDirectory()).flatMap(({ name }) => foldersOf(join(path, name))),
  ];
}
