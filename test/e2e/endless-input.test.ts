/** Input without end, of every kind that is read: one line, exit 2, in memory that does not grow with it. */

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { INPUT_LIMIT } from "../../lib/limits.ts";
import { iommufd, MAIN } from "./command.ts";
import { temporaryFiles } from "./temporary-files.ts";

const { directory } = temporaryFiles();
const TIMEOUT = 240_000;
const TOO_MUCH = "it has more than 128 MiB, the most that is read";

/** Runs `iommufd` with standard input that a program of Perl writes without end. */
function endless(args: readonly string[], before: string, again: string) {
  const script = `$SIG{PIPE} = "DEFAULT"; print $ARGV[0]; $i = 0; while (1) { ${again} }`;
  const command = `perl -e "$1" "$2" | "$3" "$4" "\${@:5}"; exit \${PIPESTATUS[1]}`;
  const words = ["bash", script, before, process.execPath, MAIN, ...args];
  const { status, stderr, stdout } = spawnSync("bash", ["-c", command, ...words], { encoding: "utf8" });
  return { status, stdout, stderr };
}

const SECTIONS = '{"schema":"iommufd.sections/1","sections":[';
const plan = ["plan", "-", "--no-nesting", "--quiet"];

describe("standard input", () => {
  it.each<[string, readonly string[], string, string, string]>([
    ["a line", plan, "", 'print "x" x 65536;', TOO_MUCH],
    ["lines", plan, "", 'print "hello\\n" x 9999;', TOO_MUCH],
    ["carriage returns", plan, "", 'print "hello\\r" x 9999;', TOO_MUCH],
    ["JSON, one string", plan, '{"schema":"', 'print "x" x 65536;', TOO_MUCH],
    ["JSON, many values", plan, SECTIONS, 'print "{}," x 9999;', TOO_MUCH],
    ["JSON, nested", plan, "", 'print "[" x 65536;', TOO_MUCH],
    ["kernel log", ["decode", "--dmesg", "-"], "", 'print "[ 0.0] x\\n" x 9999;', TOO_MUCH],
    ["kernel log in one line", ["decode", "--dmesg", "-"], "", 'print "x" x 65536;', TOO_MUCH],
    ["a plan", ["diff", "-", "/dev/null"], '{"schema":"', 'print "x" x 65536;', TOO_MUCH],
    [
      "sections",
      plan,
      'FlatView #0\n AS "memory", root: system\n Root memory region: system\n',
      'printf("  %016x-%016x (prio 0, ram): r%d\\n", $i * 4096, $i * 4096 + 4095, $i); $i++;',
      "there are more than 1048576 sections, the most that is read",
    ],
    [
      "address spaces",
      plan,
      "FlatView #0\n",
      'printf(" AS \\"a%d\\", root: system\\n", $i++);',
      "there are more than 131072 address spaces, the most that is read",
    ],
  ])(
    "%s",
    (_, args, before, again, message) => {
      const { status, stdout, stderr } = endless(args, before, again);
      expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
      expect(stderr).toMatch(/^iommufd: standard input\S*: [^\n]*\n$/);
      expect(stderr).toContain(message);
    },
    TIMEOUT,
  );

  it(
    "JSON of as many bytes as are read, and more values than that",
    () => {
      const many = `${SECTIONS}${"{},".repeat(400_000)}{}]}`;
      expect(iommufd(plan, many)).toMatchObject({
        status: 2,
        stderr: expect.stringMatching(/: sections: must not have more than 131072 sections\n$/),
      });
      const more = `${SECTIONS}${"{},".repeat(2_000_000)}{}]}`;
      expect(iommufd(plan, more)).toMatchObject({
        status: 2,
        stderr:
          "iommufd: standard input: it has more than 2097152 values, the most that is read of a JSON document\n",
      });
    },
    TIMEOUT,
  );
});

describe("devices and trees in place of files", () => {
  it.each([
    [["plan", "/dev/zero"], "/dev/zero"],
    [["decode", "--dmesg", "/dev/zero"], "/dev/zero"],
    [["diff", "/dev/zero", "-"], "/dev/zero"],
    [["probe", "--profile", "/dev/zero"], "/dev/zero"],
  ])(
    "%j",
    (args, source) => {
      expect(iommufd(args)).toEqual({ status: 2, stdout: "", stderr: `iommufd: ${source}: ${TOO_MUCH}\n` });
    },
    TIMEOUT,
  );

  it.each([
    "dev/kmsg",
    "proc/cmdline",
    "proc/self/limits",
    "var/log/kern.log",
    "boot/config-6.1.0",
    "usr/bin/qemu-kvm",
  ])(
    "doctor --root: %s without end",
    (path) => {
      const root = join(directory, path.replaceAll("/", "-"));
      for (const each of ["proc/sys/kernel/x", path])
        mkdirSync(dirname(join(root, each)), { recursive: true });
      writeFileSync(join(root, "proc/sys/kernel/osrelease"), "6.1.0\n");
      symlinkSync("/dev/zero", join(root, path));
      expect(iommufd(["doctor", "--root", root])).toEqual({
        status: 2,
        stdout: "",
        stderr: `iommufd: ${join(root, path)}: ${TOO_MUCH}\n`,
      });
    },
    TIMEOUT,
  );

  it("doctor --root: FIFOs that nobody writes to are files that cannot be read", () => {
    const root = join(directory, "fifos");
    mkdirSync(join(root, "proc"), { recursive: true });
    mkdirSync(join(root, "dev"), { recursive: true });
    spawnSync("mkfifo", [join(root, "proc/cmdline"), join(root, "dev/kmsg"), join(root, "proc/cpuinfo")]);
    expect(iommufd(["doctor", "--root", root])).toMatchObject({ status: 3, stderr: "" });
  });

  it("a profile through a pipe that takes its time is read", () => {
    const script = `"$0" "$1" probe --quiet --profile <(sleep 1; cat profiles/qemu-vtd.json)`;
    const { status, stdout } = spawnSync("bash", ["-c", script, process.execPath, MAIN], {
      encoding: "utf8",
    });
    expect({ status, stdout }).toMatchObject({ status: 0, stdout: expect.stringContaining("0000:00:01.0") });
  });
});

describe("a QMP peer", () => {
  const greeting =
    '{"QMP":{"version":{"qemu":{"major":11,"minor":0,"micro":0},"package":""},"capabilities":[]}}\n';

  /** Asks one that sends the beginning, and then the rest for ever. */
  async function ask(beginning: string, rest: string) {
    const path = join(directory, `${Math.random()}`);
    const server = createServer((socket: Socket) => {
      socket.on("error", () => {});
      socket.write(beginning);
      const block = rest.repeat(Math.ceil(65_536 / rest.length));
      const more = () => {
        while (!socket.destroyed && socket.write(block));
      };
      socket.on("drain", more);
      socket.once("data", more);
      more();
    });
    await once(server.listen(path), "listening");
    const child = spawn(process.execPath, [MAIN, "plan", "--qmp", path], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [stdout, said] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
    server.close();
    return { status: child.exitCode, stdout, stderr: said.replaceAll(path, "PATH") };
  }

  it.each([
    ["a line", greeting, "x", "PATH: a line that QEMU sends has more than 64 MiB, the most that is read"],
    ["line ends", greeting, "\n", "not what QMP answers: PATH"],
    [
      "large events",
      greeting,
      `{"event":"X","data":"${"x".repeat(100_000)}"}\n`,
      "PATH: what QEMU sends has more than 128 MiB, the most that is read",
    ],
  ])(
    "%s without end",
    async (_, beginning, rest, message) => {
      const { status, stdout, stderr } = await ask(beginning, rest);
      expect({ status, stdout, stderr }).toEqual({
        status: message.startsWith("PATH") ? 2 : 1,
        stdout: "",
        stderr: expect.stringMatching(/^iommufd: [^\n]*\n$/),
      });
      expect(stderr).toContain(message);
    },
    TIMEOUT,
  );
});

it("the limit is as documented", () => {
  expect(INPUT_LIMIT).toBe(128 * 2 ** 20);
  expect(iommufd(["--help"]).stdout).toContain("128 MiB");
});
