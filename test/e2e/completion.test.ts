/** The scripts of `iommufd completion`, in the shells that load them; and the manual. */

import { spawnSync } from "node:child_process";
import { chmodSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { iommufd, PROJECT } from "./command.ts";
import { temporaryFiles } from "./temporary-files.ts";

const { directory, file } = temporaryFiles();

/** Names that a shell would obey, if it looked at them as anything but names. */
const DOMAINS = ["guest1", "$(touch pwned)", "`touch pwned`", "a;touch pwned"];

/** Devices that a virtual machine is to get. The scripts ask `ls` for them. */
const BOUND = ["0000:6a:01.0", "0000:6a:02.0"];
const LS = `#!/bin/sh
case $1 in
  */vfio-pci) printf '%s\\n' bind module new_id ${BOUND.join(" ")} ;;
  */pci/devices) printf '%s\\n' 0000:00:1f.0 ${BOUND.join(" ")} ;;
  *) exec /bin/ls "$@" ;;
esac
`;

const COMMANDS = "capture check completion decode demo diff doctor help plan probe serve".split(" ");

const isHere = (command: string) => spawnSync(command, ["--version"]).error === undefined;

/** The offers of a shell for a typed text. */
type Offers = (typed: string) => string[];

function script(shell: string): string {
  const { status, stdout, stderr } = iommufd(["completion", shell]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return file(`iommufd.${shell}`, stdout);
}

function run(shell: string, args: readonly string[]): string[] {
  // A virsh of our own, and nothing else to be found in the directory.
  chmodSync(file("virsh", `#!/bin/sh\ncat <<'X'\n${DOMAINS.join("\n")}\nX\n`), 0o755);
  chmodSync(file("ls", LS), 0o755);
  const env = { ...process.env, PATH: `${directory}:${process.env["PATH"]}`, HOME: directory };
  const { stdout, stderr } = spawnSync(shell, args, {
    encoding: "utf8",
    cwd: directory,
    env,
    timeout: 30_000,
  });
  expect(stderr).toBe("");
  return stdout.split("\n").filter(Boolean).sort();
}

const bash: Offers = (typed) =>
  run("bash", [
    "--norc",
    "-c",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is bash
    'source "$1"; COMP_LINE=$2 COMP_POINT=${#2}; _iommufd; printf "%s\\n" "${COMPREPLY[@]}"',
    "bash",
    script("bash"),
    typed,
  ]);

const fish: Offers = (typed) =>
  run("fish", ["--no-config", "-c", "source $argv[1]; complete -C $argv[2]", script("fish"), typed]).map(
    (line) => line.split("\t")[0] as string,
  );

describe.each([
  ["bash", bash],
  ["fish", fish],
])("%s", (shell, offers) => {
  const there = it.runIf(isHere(shell));

  there("completes commands, options, and what they take", () => {
    expect(offers("iommufd ").filter((word) => !word.startsWith("-"))).toEqual(COMMANDS);
    expect(offers("iommufd pl")).toEqual(["plan"]);
    expect(offers("iommufd plan --by")).toEqual(["--bypass-ro"]);
    expect(offers("iommufd plan --bypass-ro ")).toEqual(["auto", "off", "on"]);
    expect(offers("iommufd plan --bypass-ro of")).toEqual(["off"]);
    expect(offers("iommufd completion ")).toEqual(["bash", "fish", "zsh"]);
    expect(offers("iommufd help pl")).toEqual(["plan"]);
  });

  there("completes files where there are to be files, and nowhere else", () => {
    file("guest.mtree", "");
    expect(offers("iommufd plan gu")).toEqual(["guest.mtree"]);
    expect(offers("iommufd plan --html gu")).toEqual(["guest.mtree"]);
    expect(offers("iommufd decode gu")).toEqual([]);
  });

  there("completes profiles and files where a profile is to be", () => {
    expect(offers("iommufd plan x --profile vtd-n")).toEqual(["vtd-no-erratum"]);
    expect(offers("iommufd probe --profile qemu-v")).toEqual(["qemu-vtd"]);
    file("host.json", "");
    expect(offers("iommufd probe --profile ho")).toEqual(["host.json"]);
  });

  there("completes devices: those that vfio-pci has, and any for doctor", () => {
    // bash replaces only what is behind the last colon.
    const rest = (devices: readonly string[]) =>
      shell === "bash" ? devices.map((bdf) => bdf.replace("0000:6a:", "")) : devices;
    expect(offers("iommufd plan x --device ")).toEqual(BOUND);
    expect(offers("iommufd probe 0000:6a:0")).toEqual(rest(BOUND));
    expect(offers("iommufd doctor 0000:00:1")).toEqual([shell === "bash" ? "1f.0" : "0000:00:1f.0"]);
    if (shell === "bash") {
      expect(offers("iommufd probe 0000:00")).toEqual([]);
      expect(offers("iommufd check x --device 0000:6a:01.0 ")).toEqual(BOUND);
      file("guest.mtree", "");
      expect(offers("iommufd plan --device 0000:6a:01.0 gu")).toEqual(["guest.mtree"]);
    }
  });

  there("completes domains, and runs nothing that is in their names", () => {
    expect(offers("iommufd plan --libvirt ")).toEqual([...DOMAINS].sort());
    expect(offers("iommufd plan --libvirt $(touch pwned) gu")).toEqual(["guest.mtree"]);
    expect(spawnSync("ls", [directory], { encoding: "utf8" }).stdout).not.toContain("pwned");
  });
});

it.runIf(isHere("zsh") && isHere("python3"))(
  "zsh completes commands, options, what they take, domains, profiles and devices",
  () => {
    const typed = [
      "iommufd pl",
      "iommufd plan --by",
      "iommufd plan --bypass-ro ",
      "iommufd decode --h",
      "iommufd plan --libvirt g",
      "iommufd plan --profile sapp",
      "iommufd check x --device 0000:6a:02",
    ];
    const shown = run("python3", [join(PROJECT, "test/e2e/type-in-zsh.py"), script("zsh"), ...typed]);
    expect(shown.map((line) => line.trim())).toEqual(
      expect.arrayContaining([
        "iommufd plan",
        expect.stringMatching(/^iommufd plan --bypass-ro/),
        expect.stringMatching(/^auto +off +on/),
        "iommufd decode --help",
        "iommufd plan --libvirt guest1",
        "iommufd plan --profile sapphire-rapids",
        "iommufd check x --device 0000:6a:02.0",
      ]),
    );
  },
  30_000,
);

describe("the manual", () => {
  const page = join(PROJECT, "dist/iommufd.1");

  it("has every command, option and example", () => {
    const manual = readFileSync(page, "utf8").replaceAll("\\-", "-");
    for (const command of COMMANDS.filter((name) => name !== "help")) {
      const help = iommufd([command, "--help"]).stdout;
      expect(manual).toContain(`\n.Ss iommufd ${command}\n`);
      for (const [, flag] of help.matchAll(/^ {2}(?:-h, )?(--[a-z-]+)/gm)) expect(manual).toContain(flag);
      const [, examples = ""] = help.split(/\nExamples?:\n/);
      expect(examples).not.toBe("");
      for (const example of examples.trim().split(/\n */)) expect(manual).toContain(`\n${example}\n`);
    }
  });

  it.runIf(isHere("mandoc"))("is one that mandoc has nothing to say against", () => {
    const { status, stdout } = spawnSync("mandoc", ["-T", "lint", "-W", "warning", page], {
      encoding: "utf8",
    });
    expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
  });
});
