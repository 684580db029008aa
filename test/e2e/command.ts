/** Runs the command as a user would: the built one, in a process of its own. */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The project. */
export const PROJECT = fileURLToPath(new URL("../..", import.meta.url));

/** The built command. */
export const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

/** What came of it. */
export interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs `iommufd` with arguments, in the project's directory. */
export function iommufd(args: readonly string[], input = "", settings: Record<string, string> = {}): Outcome {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    cwd: PROJECT,
    encoding: "utf8",
    input,
    maxBuffer: Number.POSITIVE_INFINITY,
    env: { ...process.env, COLUMNS: "120", ...settings },
  });
  return { status, stdout, stderr };
}

/** Runs any program; its output is that of both streams. */
export function run(
  cwd: string,
  command: string,
  args: readonly string[],
  { input = "", env = {} }: { input?: string; env?: NodeJS.ProcessEnv } = {},
): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd,
    input,
    env: { ...process.env, ...env },
    encoding: "utf8",
  });
  return { status, output: stdout + stderr };
}
