/** The prose linter of `npm run lint`: what it refuses, what it accepts, and where it finds prose. */

import { describe, expect, it } from "vitest";
import { findings } from "../../scripts/prose/findings.js";

/** The rules that a document breaks. */
const rulesOf = (text: string) => findings("a.md", text).map(({ rule }) => rule);

describe("the rules of plain English", () => {
  it.each([
    ["long-sentence", `${"word ".repeat(36)}end.`],
    ["passive-chain", "A map is read, a plan is made, a device is bound and all is undone."],
    ["double-space", "Two  spaces."],
    ["plural", "It maps 3 section(s)."],
    ["tells", "The command tells which sections are mapped."],
    ["bare-it", "It is loaded first."],
    ["bare-those", "Fields may be added; those that are there stay."],
    ["bare-such", "A device can have such."],
    ["bare-what", "What follows a name takes time by the square of it."],
    ["that-which", "The range is that which can be translated."],
    ["fronted-of", "Of one input no more than this is read."],
    ["fronted-clause", "Whether it is a file, the kernel says."],
    ["fronted-clause", "That nothing was there is a fact."],
    ["fronted-clause", "Which names yours has, it says."],
    ["is-no", "Whether it is no file."],
    ["for-because", "Memory stays, for it is mapped."],
  ])("%s: %s", (rule, sentence) => {
    expect(rulesOf(`The first sentence of a text. ${sentence}`.replace(/^.*(?=It is loaded)/, ""))).toContain(
      rule,
    );
  });

  it.each([
    "QEMU works around it since 11.0; this package does the same for other VMMs.",
    "Prebuilt for glibc x86-64 and arm64; other Linux systems compile it at install (C++17, make, Python 3).",
    "These formats never fall back to the model.",
    "A file does not show how much virtio-mem is plugged; the plan assumes all of it.",
    "Whether the device is bound.",
    "There is no device. It is no longer there. What do I run?",
    "# What do I change?",
    "`doctor` can tell them apart. It is a list of `[section(s)](what)`.",
  ])("accepts: %s", (text) => {
    expect(rulesOf(text)).toEqual([]);
  });
});

describe("prose", () => {
  const linesOf = (name: string, source: string) =>
    findings(name, source).map(({ line, rule }) => `${line} ${rule}`);

  it("is in paragraphs, headings, lists and tables of Markdown, and not in its code", () => {
    const text = [
      "A file, which `iommufd  tells`.",
      "",
      "- an item that tells",
      "",
      "| a | b |",
      "| --- | --- |",
      "| c | it tells |",
      "",
      "```sh",
      "iommufd tells",
      "```",
    ];
    expect(linesOf("a.md", text.join("\n"))).toEqual(["3 tells", "7 tells"]);
  });

  it("is in comments of TypeScript, by paragraph and tag, and not in its code", () => {
    const source = [
      'const tells = "it tells"; // The first tells.',
      "/**",
      " * A text.",
      " *",
      " * {@link tells} prints; another tells.",
      " *",
      " * @param tells what it reads",
      " * @throws Error ERR_X: the second tells",
      " */",
      "const other = 1; // biome-ignore tells: of a tool",
      "// Two lines are one sentence, which",
      "// tells.",
    ];
    expect(linesOf("test/a.ts", source.join("\n"))).toEqual(["1 tells", "5 tells", "8 tells", "11 tells"]);
  });

  it("is in messages of the library", () => {
    const source = 'const name = "tells";\nconst text = `the file $' + "{name} tells what it has`;\n";
    expect(linesOf("lib/a.ts", source)).toEqual(["2 tells"]);
    expect(linesOf("test/a.ts", source)).toEqual([]);
  });

  it.each([
    ["a.cc", 'int a = f("// tells");  // This tells.\n/* And this tells. */\n', ["1 tells", "2 tells"]],
    ["a.sh", '#!/bin/sh\n# This tells.\necho "# it tells"\n', ["2 tells"]],
    ["a.yml", "a: 1 # This tells.\n", ["1 tells"]],
  ])("is in comments of %s", (name, source, expected) => {
    expect(linesOf(name, source)).toEqual(expected);
  });
});
