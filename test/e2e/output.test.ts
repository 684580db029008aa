/** Files that the command writes, where others may write too: what is there stays what it is, and nobody can lead it elsewhere. */

import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { iommufd, MAIN, run } from "./command.ts";

/** A user that may do nothing, and another. */
const NOBODY = 65534;
const SOMEBODY = 12_345;

/** How many files are written while somebody attacks. */
const RUNS = Number(process.env["IOMMUFD_TEST_RUNS"] ?? 5);

const isRoot = process.getuid?.() === 0;
const PROBE = ["probe", "--profile", "qemu-vtd", "--quiet", "--json", "--output"];
const DOCUMENT = /^\{\n {2}"schema": "iommufd.probe\/1",[\s\S]*\n\}\n$/;

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "iommufd-output-"));
  chmodSync(directory, 0o755);
});
afterEach(() => rmSync(directory, { recursive: true }));

const probeTo = (path: string) => iommufd([...PROBE, path]);
const refused = (path: string, why: string) => ({
  status: 1,
  stdout: "",
  stderr: `iommufd: cannot write ${path}: ${why}\n`,
});
const shell = (script: string) => run(directory, "bash", ["-c", script, MAIN, process.execPath]);
/** The same as a user who cannot change /dev: root could, and a command that is wrong would. */
const harmlessShell = (script: string) => {
  if (!isRoot) return shell(script);
  chownSync(directory, NOBODY, NOBODY);
  return shell(`setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups bash -c '${script}' "$0" "$1"`);
};
const PROBE_IN_SHELL = `"$1" "$0" ${PROBE.join(" ")}`;

describe("a file", () => {
  it("that is new has the mode that the user's umask leaves", () => {
    expect(shell(`umask 027; ${PROBE_IN_SHELL} new`)).toEqual({ status: 0, output: "" });
    expect(statSync(join(directory, "new")).mode & 0o7777).toBe(0o640);
    expect(readFileSync(join(directory, "new"), "utf8")).toMatch(DOCUMENT);
  });

  it("that is replaced keeps its mode, but no right to run as its owner", () => {
    const path = join(directory, "old");
    writeFileSync(path, "old");
    chmodSync(path, 0o4751);
    expect(probeTo(path)).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(statSync(path).mode & 0o7777).toBe(0o751);
    expect(readdirSync(directory)).toEqual(["old"]);
  });

  it("may be named by way of a link to a directory, and from there upwards", () => {
    mkdirSync(join(directory, "real/deep"), { recursive: true });
    symlinkSync("real/deep", join(directory, "link"));
    expect(probeTo(`${directory}/link/../out`)).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(readFileSync(join(directory, "real/out"), "utf8")).toMatch(DOCUMENT);
    expect(readdirSync(directory).sort()).toEqual(["link", "real"]);
  });

  it("may have a name as long as names can be", () => {
    const name = "n".repeat(255);
    expect(probeTo(join(directory, name)).status).toBe(0);
    expect(readdirSync(directory)).toEqual([name]);
  });

  it.runIf(isRoot)("that is replaced keeps its owner and group", () => {
    const path = join(directory, "owned");
    writeFileSync(path, "old");
    chownSync(path, NOBODY, SOMEBODY);
    chmodSync(path, 0o640);
    expect(probeTo(path).status).toBe(0);
    const { uid, gid, mode } = statSync(path);
    expect({ uid, gid, mode: mode & 0o7777 }).toEqual({ uid: NOBODY, gid: SOMEBODY, mode: 0o640 });
  });

  it("that does not fit leaves nothing behind", () => {
    const path = join(directory, "large");
    writeFileSync(path, "old");
    expect(shell(`ulimit -f 0; ${PROBE_IN_SHELL} ${path} 2>&1 | cat`).output).toBe(
      `iommufd: cannot write ${path}: EFBIG: file too large\n`,
    );
    expect(readdirSync(directory)).toEqual(["large"]);
    expect(readFileSync(path, "utf8")).toBe("old");
  });
});

describe("what is no file", () => {
  it("a FIFO is written to, and stays one", async () => {
    const path = join(directory, "fifo");
    execFileSync("mkfifo", [path]);
    const reader = spawn("cat", [path], { stdio: ["ignore", "pipe", "inherit"] });
    let read = "";
    reader.stdout.on("data", (data) => {
      read += data;
    });
    const ended = once(reader, "close");
    expect(probeTo(path)).toEqual({ status: 0, stdout: "", stderr: "" });
    await ended;
    expect(read).toMatch(DOCUMENT);
    expect(lstatSync(path).isFIFO()).toBe(true);
    expect(readdirSync(directory)).toEqual(["fifo"]);
  });

  it.each([
    ["/dev/stdout", "| cat"],
    ["/dev/stdout", "> out; cat out"],
    ["/dev/../dev/stdout", "| cat"],
    ["/dev/stderr", "2>&1 >/dev/null | cat"],
    ["/dev/fd/1", "| cat"],
    ["/proc/self/fd/7", "7>&1 | cat"],
    ["/dev/fd/7", "7> out; cat out"],
  ])("%s %s", (path, redirection) => {
    expect(harmlessShell(`${PROBE_IN_SHELL} ${path} ${redirection}`).output).toMatch(DOCUMENT);
  });

  it("what a shell puts in place of >(…)", () => {
    shell(`${PROBE_IN_SHELL} >(cat > out); sleep 1`);
    expect(readFileSync(join(directory, "out"), "utf8")).toMatch(DOCUMENT);
  });

  it("standard output that is full: one line, exit 1", () => {
    expect(shell(`"$1" "$0" probe --profile qemu-vtd --quiet > /dev/full; echo $?`)).toEqual({
      status: 0,
      // Both streams, standard output first.
      output: "1\niommufd: cannot write to standard output: ENOSPC: no space left on device\n",
    });
    expect(shell(`"$1" "$0" probe --profile qemu-vtd 2> /dev/full | head -n 1`).output).toMatch(/^Asked /);
  });

  it.runIf(isRoot)("a character device is written to, and stays one; a block device is refused", () => {
    const at = (name: string) => join(directory, name);
    execFileSync("mknod", [at("null"), "c", "1", "3"]);
    execFileSync("mknod", [at("full"), "c", "1", "7"]);
    execFileSync("mknod", [at("loop"), "b", "7", "250"]);
    const before = lstatSync(at("null"));
    expect(probeTo(at("null"))).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(lstatSync(at("null"))).toMatchObject({ ino: before.ino, rdev: before.rdev, mode: before.mode });
    expect(probeTo(at("full"))).toEqual(refused(at("full"), "ENOSPC: no space left on device"));
    expect(probeTo(at("loop"))).toEqual(refused(at("loop"), "it is a block device"));
    expect(readdirSync(directory).sort()).toEqual(["full", "loop", "null"]);
  });

  it("a link is refused, wherever it leads, and so is a directory", () => {
    const at = (name: string) => join(directory, name);
    writeFileSync(at("file"), "old");
    symlinkSync("file", at("link"));
    symlinkSync("nowhere", at("dangling"));
    symlinkSync("/proc/self/fd/1", at("stdout"));
    mkdirSync(at("sub"));
    const why = "it is a link; name the file that it leads to, or remove it";
    for (const name of ["link", "dangling", "stdout"])
      expect(probeTo(at(name))).toEqual(refused(at(name), why));
    for (const name of ["sub", "sub/", "sub/.", "sub/..", "/"])
      expect(probeTo(name === "/" ? name : `${directory}/${name}`)).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(/: it is a directory\n$/),
      });
    expect(probeTo(at("file/below"))).toEqual(refused(at("file/below"), "ENOTDIR: not a directory"));
    expect(readFileSync(at("file"), "utf8")).toBe("old");
    expect(readdirSync(directory).sort()).toEqual(["dangling", "file", "link", "stdout", "sub"]);
  });
});

describe("a signal while it writes", () => {
  it.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)("%s: nothing unfinished is left", async (signal) => {
    const path = join(directory, "out");
    // Slow enough to be caught in it: the file is held back by a write that takes its time.
    const child = spawn(
      process.execPath,
      ["--import", `data:text/javascript,${encodeURIComponent(SLOW_DISK)}`, MAIN, ...PROBE, path],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    const [said] = (await once(child.stderr as NonNullable<ChildProcess["stderr"]>, "data")) as [Buffer];
    expect(said.toString()).toBe("writing\n");
    expect(readdirSync(directory)).toEqual([expect.stringMatching(/^\.iommufd-[0-9a-f]{24}$/)]);
    child.kill(signal);
    expect(await once(child, "exit")).toEqual([null, signal]);
    expect(readdirSync(directory)).toEqual([]);
  });
});

/** Makes fsync say that it runs, and take for ever. */
const SLOW_DISK = `
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
fs.fsync = () => { fs.writeSync(2, "writing\\n"); setInterval(() => {}, 1000); };
syncBuiltinESMExports();
`;

describe.runIf(isRoot)("another user who owns the directory", () => {
  /** Runs a script as that user, in the directory. */
  const asNobody = (script: string) =>
    spawn(process.execPath, ["-e", script], { uid: NOBODY, gid: NOBODY, cwd: directory, stdio: "inherit" });
  const victim = () => {
    const path = join(mkdtempSync(join(directory, "..", "iommufd-victim-")), "passwd");
    writeFileSync(path, "root\n");
    chmodSync(path, 0o644);
    return path;
  };

  beforeEach(() => chownSync(directory, NOBODY, NOBODY));

  it("cannot have root write elsewhere, whatever is linked there at whatever time", async () => {
    const secret = victim();
    const path = join(directory, "iommufd.prom");
    // Links and files come and go at the name, at the names of 0.1.0, and at those that are unfinished.
    const attacker = asNobody(`
      const { readdirSync, symlinkSync, linkSync, rmSync, writeFileSync, renameSync, mkdirSync } = require("node:fs");
      const names = ["iommufd.prom", ...Array.from({ length: 50 }, (_, i) => ".iommufd.prom." + (process.pid + i))];
      const attempt = (work) => { try { work(); } catch {} };
      const link = (name) => attempt(() => symlinkSync(${JSON.stringify(secret)}, name));
      const tricks = [
        link,
        (name) => attempt(() => linkSync(${JSON.stringify(secret)}, name)),
        (name) => attempt(() => writeFileSync(name, "mine")),
        (name) => attempt(() => mkdirSync(name)),
        (name) => { link("x"); attempt(() => renameSync("x", name)); },
      ];
      for (let turn = 0; ; turn++) {
        const unfinished = readdirSync(".").filter((name) => name.startsWith(".iommufd-"));
        for (const name of [...unfinished, ...names]) {
          attempt(() => rmSync(name, { recursive: true }));
          tricks[turn % tricks.length](name);
        }
      }
    `);
    try {
      for (let count = 0; count < RUNS; count++) probeTo(path);
    } finally {
      attacker.kill("SIGKILL");
      await once(attacker, "exit");
    }
    expect(readFileSync(secret, "utf8")).toBe("root\n");
    expect(statSync(secret)).toMatchObject({ uid: 0, mode: 0o100644 });
    rmSync(join(secret, ".."), { recursive: true });
  }, 1_800_000);

  it("cannot have root follow a link that is there, or wait at a FIFO", () => {
    const secret = victim();
    const path = join(directory, "iommufd.prom");
    symlinkSync(secret, path);
    expect(probeTo(path)).toMatchObject({ status: 1, stderr: expect.stringContaining("it is a link") });
    rmSync(path);
    execFileSync("mkfifo", [path]);
    chownSync(path, NOBODY, NOBODY);
    expect(probeTo(path)).toEqual(refused(path, `it is a FIFO of another user (${NOBODY})`));
    rmSync(path);
    linkSync(secret, path);
    expect(probeTo(path).status).toBe(0);
    expect(readFileSync(secret, "utf8")).toBe("root\n");
    rmSync(join(secret, ".."), { recursive: true });
  });

  it("cannot lead root elsewhere by a link in the place of a directory", async () => {
    const secret = victim();
    const attacker = asNobody(`
      const { mkdirSync, renameSync, symlinkSync, rmSync } = require("node:fs");
      mkdirSync("d");
      for (;;) {
        renameSync("d", "e");
        symlinkSync(${JSON.stringify(join(secret, ".."))}, "d");
        rmSync("d");
        renameSync("e", "d");
      }
    `);
    try {
      for (let count = 0; count < RUNS; count++) probeTo(join(directory, "d/passwd"));
    } finally {
      attacker.kill("SIGKILL");
      await once(attacker, "exit");
    }
    expect(readFileSync(secret, "utf8")).toBe("root\n");
    const link = join(directory, "link");
    symlinkSync(join(secret, ".."), link);
    expect(probeTo(`${link}/passwd`)).toEqual(
      refused(`${link}/passwd`, "link, on the way to it, is a link that another user may have made"),
    );
    expect(readFileSync(secret, "utf8")).toBe("root\n");
    rmSync(join(secret, ".."), { recursive: true });
  }, 1_800_000);

  it("keeps what is put in the place of a file, and others may read it as before", () => {
    const path = join(directory, "iommufd.prom");
    writeFileSync(path, "old");
    chownSync(path, NOBODY, NOBODY);
    chmodSync(path, 0o640);
    expect(probeTo(path).status).toBe(0);
    const read = spawnSync("cat", [path], { uid: NOBODY, gid: NOBODY, encoding: "utf8" });
    expect(read.stdout).toMatch(DOCUMENT);
  });

  it("in a directory of all (/tmp) has no file of theirs taken for ours", () => {
    chownSync(directory, 0, 0);
    chmodSync(directory, 0o1777);
    const path = join(directory, "report.html");
    writeFileSync(path, "theirs");
    chownSync(path, NOBODY, NOBODY);
    expect(probeTo(path)).toEqual(
      refused(path, `it belongs to another user (${NOBODY}), in a directory where everybody may make files`),
    );
    expect(readFileSync(path, "utf8")).toBe("theirs");
  });

  it("a user who cannot keep the owner says so", () => {
    chmodSync(directory, 0o777);
    const path = join(directory, "of-root");
    writeFileSync(path, "root's");
    const script = `
      import("${new URL("../../dist/cli/output-file.js", import.meta.url)}")
        .then(({ writeOutput }) => writeOutput(${JSON.stringify(path)}, "mine"))
        .catch(({ message }) => console.log(message));
    `;
    const options = { uid: NOBODY, gid: NOBODY, cwd: "/", encoding: "utf8" } as const;
    const { stdout, stderr } = spawnSync(process.execPath, ["-e", script], options);
    expect(stderr + stdout).toBe(
      `cannot write ${path}: it belongs to user 0 and group 0, which this user cannot keep; remove it first\n`,
    );
    expect(readFileSync(path, "utf8")).toBe("root's");
    expect(readdirSync(directory)).toEqual(["of-root"]);
  });
});
