/**
 * Encodings that editors and shells give to files: marks, UTF-16, carriage returns. Everything that the command reads
 * is read.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { iommufd, PROJECT } from "./command.ts";
import { temporaryFiles } from "./temporary-files.ts";

const { directory } = temporaryFiles();
const example = (name: string) => readFileSync(join(PROJECT, name), "utf8").replaceAll("\r\n", "\n");

const LOG =
  "[    0.1] DMAR: dmar0: reg_base_addr c8fc000 ver 6:0 cap 19ed008c40780c66 ecap 3ef9e86f050df\n[ 0.2] x\n";
const PLAN = ["plan", "--no-nesting", "--json", "--quiet"];
const SECTIONS =
  '{"schema":"iommufd.sections/1",\n"sections":[{"start":"0x0","last":"0xfff","type":"ram","region":"x"}]}\n';

const inputs: readonly (readonly [string, string, (path: string) => string[]])[] = [
  ["a memory map", example("examples/guest-with-nesting.mtree"), (path) => [...PLAN, path]],
  ["a section list", SECTIONS, (path) => [...PLAN, path]],
  [
    "a profile",
    example("profiles/qemu-vtd.json"),
    (path) => ["probe", "--json", "--quiet", "--profile", path],
  ],
  ["a kernel log", LOG, (path) => ["decode", "--json", "--dmesg", path]],
  ["a plan", iommufd([...PLAN, "examples/guest-with-nesting.mtree"]).stdout, (path) => ["diff", path, path]],
];

const encodings: readonly (readonly [string, (text: string) => Buffer])[] = [
  ["UTF-8 with a mark", (text) => Buffer.from(`\ufeff${text}`)],
  ["UTF-16LE", (text) => Buffer.from(`\ufeff${text}`, "utf16le")],
  ["UTF-16BE", (text) => Buffer.from(`\ufeff${text}`, "utf16le").swap16()],
  ["UTF-16LE without a mark", (text) => Buffer.from(text, "utf16le")],
  ["CR LF", (text) => Buffer.from(text.replaceAll("\n", "\r\n"))],
  ["CR", (text) => Buffer.from(text.replaceAll("\n", "\r"))],
  ["UTF-16LE and CR", (text) => Buffer.from(`\ufeff${text.replaceAll("\n", "\r")}`, "utf16le")],
];

describe.each(inputs)("%s", (_, text, command) => {
  const path = join(directory, "input.json");
  const run = (bytes: Buffer) => {
    writeFileSync(path, bytes);
    return iommufd(command(path));
  };

  it.each(encodings)("%s", (__, encode) => {
    const expected = run(Buffer.from(text));
    expect(expected).toMatchObject({ status: 0, stderr: "" });
    expect(run(encode(text))).toEqual(expected);
  });
});
