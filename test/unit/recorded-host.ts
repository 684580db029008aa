/** Makes the files of a host that is recorded as text: test/unit/hosts/README.md says how. */

import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const HOSTS = new URL("hosts/", import.meta.url);

/** Makes all files of a host below a directory. */
export function makeHost(root: string, name: string): void {
  let path = "";
  let lines: string[] = [];
  const write = (content: string | Buffer) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  };
  for (const line of readFileSync(new URL(`${name}.tree`, HOSTS), "utf8")
    .trimEnd()
    .split("\n")) {
    if (line.startsWith("  ")) {
      lines.push(line.slice(2));
      write(`${lines.join("\n")}\n`);
      continue;
    }
    lines = [];
    const { like, without, link, target, directory, file, text } = parse(line);
    if (like !== undefined) makeHost(root, like);
    else if (without !== undefined) rmSync(join(root, without), { recursive: true });
    else if (link !== undefined && target !== undefined) {
      mkdirSync(dirname(join(root, link)), { recursive: true });
      symlinkSync(target, join(root, link));
    } else if (directory !== undefined) mkdirSync(join(root, directory), { recursive: true });
    else if (file !== undefined) {
      path = file;
      write(contentOf(text ?? ""));
    }
  }
}

function parse(line: string): Record<string, string | undefined> {
  if (line.startsWith("#")) return {};
  const { groups } =
    /^like (?<like>\S+)$/.exec(line) ??
    /^without (?<without>\/\S+)$/.exec(line) ??
    /^(?<link>\/\S+) -> (?<target>\S+)$/.exec(line) ??
    /^(?<directory>\/\S+)\/$/.exec(line) ??
    /^(?<file>\/\S+):(?: (?<text>.*))?$/.exec(line) ??
    {};
  if (groups === undefined) throw new Error(`no line of a host: ${JSON.stringify(line)}`);
  return groups;
}

function contentOf(text: string): string | Buffer {
  const [kind, ...rest] = text.split(" ");
  if (kind === "strings") return Buffer.from(`\x7fELF\0${rest.join(" ").split(" | ").join("\0")}\0`);
  if (kind !== "bytes") return text === "" ? "" : `${text}\n`;
  const [length, ...fields] = rest;
  const bytes = Buffer.alloc(Number(length));
  for (const field of fields) {
    const [offset = "", hex = ""] = field.split("=");
    Buffer.from(hex, "hex").copy(bytes, Number.parseInt(offset, 16));
  }
  return bytes;
}
