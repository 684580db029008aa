/** Input without end, of every kind that is read: one line, exit 2, in memory that does not grow with it. */

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
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

  /** A tree of a machine with one file, and one more that says which kernel it has. */
  function treeWith(path: string): { root: string; file: string } {
    const root = mkdtempSync(join(directory, "tree-"));
    for (const each of ["proc/sys/kernel/x", path]) mkdirSync(dirname(join(root, each)), { recursive: true });
    writeFileSync(join(root, "proc/sys/kernel/osrelease"), "6.1.0\n");
    return { root, file: join(root, path) };
  }

  it.each([
    ["dev/kmsg", 128],
    ["proc/cmdline", 1],
    ["proc/interrupts", 128],
    ["proc/self/limits", 32],
    ["proc/self/mountinfo", 32],
    ["sys/class/iommu/dmar0/intel-iommu/cap", 32],
    ["var/log/kern.log", 128],
    ["boot/config-6.1.0", 32],
    ["usr/bin/qemu-kvm", 128],
  ])(
    "doctor --root: %s without end",
    (path, limit) => {
      const { root, file } = treeWith(path);
      symlinkSync("/dev/zero", file);
      expect(iommufd(["doctor", "--root", root])).toEqual({
        status: 2,
        stdout: "",
        stderr: `iommufd: ${file}: ${TOO_MUCH.replace("128", String(limit))}\n`,
      });
    },
    TIMEOUT,
  );

  it("doctor --root: a configuration that is small, and large when it is unpacked", () => {
    const { root, file } = treeWith("proc/config.gz");
    writeFileSync(file, gzipSync(Buffer.alloc(200 << 20)));
    expect(iommufd(["doctor", "--root", root])).toEqual({
      status: 2,
      stdout: "",
      stderr: `iommufd: ${file}: what is packed in it has more than 32 MiB, the most that is read\n`,
    });
  });

  /** As much as is read of it, in pieces as small as they can be: a heap of 300 MiB is enough for each. */
  it.each([
    ["boot/config-6.1.0", 32, (n: number) => `CONFIG_${n.toString(36)}=y\n`],
    ["proc/cmdline", 1, () => "a "],
    ["proc/interrupts", 128, () => " 1: 1 a\n"],
    ["proc/self/mountinfo", 32, () => "\n"],
    ["proc/swaps", 32, () => "a\n"],
    ["proc/net/route", 32, () => "a\n"],
  ] as const)(
    "doctor --root: %s with as many words and lines as %i MiB have",
    (path, limit, piece) => {
      const { root, file } = treeWith(path);
      const pieces = Array.from({ length: 100_000 }, (_, index) => piece(index)).join("");
      const count = Math.floor((limit << 20) / pieces.length);
      writeFileSync(file, pieces.repeat(Math.max(count, 1)).slice(0, limit << 20));
      const outcome = iommufd(["doctor", "--root", root], "", { NODE_OPTIONS: "--max-old-space-size=300" });
      expect(outcome).toMatchObject({ status: 3, stderr: "" });
    },
    TIMEOUT,
  );

  it.each([[["decode", "--dmesg"]], [["doctor", "--root"]]])(
    "%j: a kernel log with more VT-d units than any machine has",
    (args) => {
      const { root, file } = treeWith("var/log/kern.log");
      const unit = (n: number) => `DMAR: dmar${n}: reg_base_addr 1000 ver 6:0 cap 2 ecap 3\n`;
      writeFileSync(file, Array.from({ length: 20_000 }, (_, index) => unit(index)).join(""));
      expect(iommufd([...args, args[0] === "decode" ? file : root])).toEqual({
        status: 2,
        stdout: "",
        stderr: expect.stringMatching(
          /^iommufd: \S+: there are more than 16384 VT-d units in it, the most that is read\n$/,
        ),
      });
    },
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

describe("virsh", () => {
  it.each(["cat /dev/zero", "cat /dev/zero >&2"])(
    "that writes without end: %s",
    (script) => {
      const bin = join(directory, `bin${script.length}`);
      mkdirSync(bin);
      writeFileSync(join(bin, "virsh"), `#!/bin/sh\nexec ${script}\n`, { mode: 0o755 });
      const path = `${bin}:${process.env["PATH"]}`;
      expect(iommufd(["plan", "--libvirt", "guest"], "", { PATH: path })).toEqual({
        status: 2,
        stdout: "",
        stderr:
          "iommufd: libvirt domain guest: the answer to query-version has more than 64 MiB, the most that is read\n",
      });
    },
    TIMEOUT,
  );
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
