/** Runs the command as a user would: the built one, in a process of its own. */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { loadProfile } from "../../lib/backend/software/profile.ts";
import { originOf } from "../../lib/origin.ts";

/** The project. */
export const PROJECT = fileURLToPath(new URL("../..", import.meta.url));

/** The built command. */
export const MAIN = fileURLToPath(new URL("../../dist/bundled/iommufd.js", import.meta.url));

/** The outcome. */
export interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** The time that reports of {@link iommufd} have, so that they can be compared. */
export const TIME = "2026-01-01T00:00:00Z";

/** A report as if it had been written at {@link TIME}. */
export function atFixedTime(report: string): string {
  return report.replaceAll(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, TIME);
}

/** A report of `doctor` with the rows of its table joined again that were too long for a line. */
export function unwrapped(report: string): string {
  return report.replaceAll(/\n {20,}(?=\S)/g, " ");
}

/** The origin in the documents of {@link iommufd}. */
export const ORIGIN = {
  nobody: originOf(undefined, new Date(TIME)),
  modelOf: (profile: string) =>
    originOf(
      {
        backend: "software",
        backendReason: `asked for; model of ${profile}`,
        profile,
        kernelRelease: loadProfile(profile).kernelRelease ?? undefined,
      },
      new Date(TIME),
    ),
};

/** Runs `iommufd` with arguments, in the project's directory; its reports are as of {@link TIME}. */
export function iommufd(args: readonly string[], input = "", settings: Record<string, string> = {}): Outcome {
  // The user may have set a model as the default; the tests choose by themselves.
  const { IOMMUFD_BACKEND: _, ...environment } = process.env;
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    cwd: PROJECT,
    encoding: "utf8",
    input,
    maxBuffer: Number.POSITIVE_INFINITY,
    env: { ...environment, COLUMNS: "120", ...settings },
  });
  return { status, stdout: atFixedTime(stdout), stderr };
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
