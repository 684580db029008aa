/** The command that is ended while it waits for others, and the command whose reader has gone: nothing is lost, and nothing keeps it. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { MAIN, PROJECT, run } from "./command.ts";
import { temporaryFiles } from "./temporary-files.ts";

const { directory } = temporaryFiles();
const GUEST = "examples/guest-with-nesting.mtree";
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

function start(args: readonly string[]) {
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: PROJECT, stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  return child;
}

function fifo(name: string): string {
  const path = join(directory, name);
  execFileSync("mkfifo", [path]);
  return path;
}

describe("a FIFO", () => {
  it.each(SIGNALS)("of --html that nobody reads: %s ends check", async (signal) => {
    const path = fifo(`page-${signal}`);
    const child = start(["check", GUEST, "--profile", "sapphire-rapids", "--html", path]);
    await once(child.stdout, "data");
    child.kill(signal);
    expect(await once(child, "exit")).toEqual([null, signal]);
  });

  it.each([["check", GUEST], ["probe"], ["capture"], ["serve", "--probe", "--listen", "127.0.0.1:0"]])(
    "of --profile that nobody writes: a signal ends %s",
    async (...args) => {
      const path = fifo(`profile-${args[0]}`);
      const child = start([...args, "--profile", path]);
      // As soon as somebody reads it, it can be opened for writing; then the reader waits for what is written.
      let writer: number | undefined;
      while (writer === undefined) {
        await sleep(20);
        try {
          writer = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
        } catch (error) {
          expect(error).toMatchObject({ code: "ENXIO" });
        }
      }
      child.kill("SIGTERM");
      expect(await once(child, "exit")).toEqual([null, "SIGTERM"]);
      closeSync(writer);
    },
  );
});

describe("a reader of standard output that has gone", () => {
  const shell = (script: string) =>
    run(PROJECT, "bash", [
      "-c",
      `${script} | true; echo "\${PIPESTATUS[0]}"`,
      MAIN,
      process.execPath,
      directory,
    ]);

  it("loses no page", () => {
    const page = join(directory, "page.html");
    const args = `${GUEST} --profile sapphire-rapids`;
    expect(shell(`"$1" "$0" plan ${args} --html ${page}`)).toEqual({ status: 0, output: "0\n" });
    expect(readFileSync(page, "utf8")).toMatch(/<\/html>\n$/);
  });

  it("is told by the exit code that a check said no", () => {
    const page = join(directory, "refused.html");
    const args = `${GUEST} --profile sapphire-rapids --bypass-ro off`;
    expect(shell(`"$1" "$0" check ${args} --html ${page}`)).toEqual({ status: 0, output: "3\n" });
    expect(existsSync(page)).toBe(true);
    expect(shell(`"$1" "$0" doctor --root ${directory}`)).toEqual({ status: 0, output: "3\n" });
  });
});
