/**
 * The documents are true: what they show of code is compiled, what they show of commands is run and its output compared,
 * and what only another machine can show names the test that does. Links lead somewhere.
 */

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { makeProgram } from "../../lib/cli/program.ts";
import { parseSectionList, shippedProfiles } from "../../lib/index.ts";
import { elided } from "../elided.ts";
import { foldersOf } from "../tree.ts";
import { iommufd, PROJECT } from "./command.ts";

const read = (path: string) => readFileSync(join(PROJECT, path), "utf8");
const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };

/** Code, in a document. */
interface Block {
  readonly document: string;
  readonly line: number;
  readonly language: string;
  readonly code: string;
  /** The lines right before it. */
  readonly before: string;
}

const documents = foldersOf()
  .flatMap(({ path, files }) => files.map((file) => join(path, file)))
  .filter((path) => path.endsWith(".md") && !path.startsWith("test/fixtures/"));

const blocks: Block[] = documents.flatMap((document) => {
  const text = read(document);
  return [...text.matchAll(/^( *)```(\w*)\n([\s\S]*?)^ *```$/gm)].map((match) => {
    const [, indent = "", language = "", code = ""] = match;
    const lines = text.slice(0, match.index).split("\n");
    return {
      document,
      line: lines.length,
      language,
      code: code.replaceAll(new RegExp(`^${indent}`, "gm"), ""),
      before: lines.slice(-3).join("\n"),
    };
  });
});

const inLanguage = (...languages: string[]) => blocks.filter(({ language }) => languages.includes(language));

/** Commands that are shown with their output. */
const shown = inLanguage("console").flatMap(({ document, code }) => {
  const [, command = "", output = ""] = /^\$ (.*)\n([\s\S]*)$/.exec(code) ?? [];
  return output === "" || output.startsWith("$ ") ? [] : [{ document, command, output }];
});

/** The output that a terminal shows for a command. */
function terminal(command: string): string {
  const [, line = "", lines] = /^(.*?)(?: \| head -n (\d+))?$/.exec(command) ?? [];
  const [, started = ""] = scripts["start"]?.split(" && ") ?? [];
  const words = (line === "npm start" ? started : line).split(" ");
  expect(words.slice(0, 2)).toEqual(
    line === "npm start" ? ["node", "dist/bundled/iommufd.js"] : ["npx", "iommufd"],
  );
  const { stdout, stderr } = iommufd(words.slice(2));
  return lines === undefined
    ? stderr + stdout
    : `${stderr}${stdout.split("\n").slice(0, Number(lines)).join("\n")}\n`;
}

/** The anchor of a heading, as GitHub makes it. */
const anchor = (heading: string) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(" ", "-");

describe("code in documents", () => {
  it("is of languages that are checked here", () => {
    const checked = ["ts", "js", "console", "sh", "json", "yaml", "text"];
    // test/contributing applies and compiles these.
    const elsewhere = ["c", "diff"];
    const others = blocks.filter(
      ({ document, language }) =>
        !checked.includes(language) && !(document === "CONTRIBUTING.md" && elsewhere.includes(language)),
    );
    expect(others.map(({ document, line }) => `${document}:${line}`)).toEqual([]);
    expect(blocks.length).toBeGreaterThan(30);
    expect(shown.length).toBeGreaterThan(8);
  });

  it.each([
    ["README.md", ["iommufd plan", "iommufd check"]],
    [
      "docs/commands.md",
      [
        "iommufd probe",
        "iommufd probe",
        "npm start",
        "iommufd plan",
        "iommufd check",
        "iommufd decode",
        "iommufd demo",
      ],
    ],
  ])("of %s: these commands with their output", (name, expected) => {
    const commands = shown.filter(({ document }) => document === name);
    expect(
      commands.map(({ command }) => command.replace(/^npx /, "").split(" ").slice(0, 2).join(" ")),
    ).toEqual(expected);
  });

  it("of docs/commands.md: a section for each command", () => {
    const sections = [...read("docs/commands.md").matchAll(/^## `iommufd (\w+)`$/gm)].map(([, name]) => name);
    const commands = makeProgram().commands.map((command) => command.name());
    expect(sections.toSorted()).toEqual(commands.filter((name) => name !== "help").toSorted());
  });

  it("of README.md: the walk as it is, of no more than 15 lines, and no more than 150 lines in all", () => {
    const walk = read("examples/walk.js").replace(/^.*\n\n/, "");
    expect(read("README.md")).toContain(`\`\`\`js\n${walk}\`\`\`\n`);
    expect(walk.split("\n").filter((line) => line !== "").length).toBeLessThanOrEqual(15);
    expect(read("README.md").trimEnd().split("\n").length).toBeLessThanOrEqual(150);
  });

  it.each(["docs/ci.md", "docs/software-backend.md"])("of %s: all profiles that ship are named", (name) => {
    const text = read(name);
    expect(shippedProfiles().filter((profile) => !text.includes(`\`${profile}\``))).toEqual([]);
  });

  it.each(shown)("$document: $command", ({ command, output }) => {
    expect(terminal(command)).toMatch(elided(output));
  });

  it("of pipelines: the commands of iommufd do what the document says", () => {
    const commands = inLanguage("yaml").flatMap(({ document, code }) =>
      [...code.matchAll(/^ *- (?:run: )?npx (iommufd .*)$/gm)].map(([, command = ""]) => ({
        document,
        command,
      })),
    );
    expect(new Set(commands.map(({ document }) => document))).toEqual(
      new Set(["README.md", "docs/ci.md", "docs/software-backend.md"]),
    );
    for (const { document, command } of commands) {
      const words = command
        .replace("guest.mtree", "examples/guest-with-nesting.mtree")
        .replace("./host.json", "profiles/sapphire-rapids.json")
        .replace(/ > .*/, "")
        .split(" ");
      const { status, stderr } = iommufd(words.slice(1), "", { IOMMUFD_BACKEND: "auto" });
      expect(status, `${document}: ${command}\n${stderr}`).toBe(0);
    }
  });

  describe("TypeScript", () => {
    const directory = join(PROJECT, "build/test/documents");
    const examples = ["examples", "examples/nvme"].flatMap((folder) =>
      readdirSync(join(PROJECT, folder))
        .filter((name) => /\.[jt]s$/.test(name))
        .map((name) => read(`${folder}/${name}`)),
    );
    const isExcerpt = ({ code }: Block) => examples.some((example) => example.includes(code));
    const alone = inLanguage("ts").filter((block) => !isExcerpt(block));

    it("or JavaScript is an excerpt of an example", () => {
      expect(inLanguage("js").filter((block) => !isExcerpt(block))).toEqual([]);
    });

    beforeAll(() => mkdirSync(directory, { recursive: true }));
    afterAll(() => rmSync(directory, { recursive: true, force: true }));

    it("is an excerpt of an example, which is run, or compiles by itself", () => {
      expect(alone.length).toBeGreaterThan(3);
      for (const { document, line, code } of alone)
        writeFileSync(join(directory, `${document.replaceAll("/", "-")}-${line}.ts`), code);
      const config = {
        extends: "../../../tsconfig.json",
        compilerOptions: { paths: { iommufd: ["../../../lib/index.ts"] }, noUnusedLocals: false },
        include: ["*.ts"],
      };
      writeFileSync(join(directory, "tsconfig.json"), JSON.stringify(config));
      const { status, stdout } = spawnSync("npx", ["tsc", "--project", directory], {
        cwd: PROJECT,
        encoding: "utf8",
      });
      expect(stdout).toBe("");
      expect(status).toBe(0);
    });
  });

  it.each(inLanguage("sh"))("$document:$line: is what a shell reads", ({ code }) => {
    const { status, stderr } = spawnSync("bash", ["-n"], { input: code, encoding: "utf8" });
    expect(stderr).toBe("");
    expect(status).toBe(0);
  });

  it("names commands and options of iommufd that there are", () => {
    const commands = new Map(makeProgram().commands.map((command) => [command.name(), command]));
    let seen = 0;
    for (const { document, line, code } of inLanguage("sh", "console", "text"))
      for (const [, name = "", rest = ""] of code.matchAll(
        /^(?:\$ )?(?:.*\| )?(?:npx )?iommufd (?!-)(\S+)([^|\n]*)/gm,
      )) {
        if (name.endsWith(":") || !/^[a-z]+$/.test(name)) continue;
        const command = commands.get(name);
        if (command === undefined) throw new Error(`${document}:${line}: no command ${name}`);
        for (const [option] of rest.matchAll(/--[a-z-]+/g))
          expect(
            command.options.map(({ long }) => long),
            `${document}:${line}`,
          ).toContain(option);
        seen++;
      }
    expect(seen).toBeGreaterThan(8);
  });

  it.each(inLanguage("json"))(
    "$document:$line: is JSON, of a format that can be read",
    ({ code, document }) => {
      const { schema } = JSON.parse(code) as { schema: string };
      if (schema === "iommufd.sections/1")
        expect(parseSectionList(code, document).sections.length).toBeGreaterThan(0);
      else expect(schema).toMatch(/^iommufd\.[a-z-]+\/\d$/);
    },
  );

  it.each(inLanguage("yaml"))("$document:$line: is YAML", ({ code }) => {
    expect(parse(code)).toBeTypeOf("object");
  });

  it.each(inLanguage("text"))("$document:$line: names what shows it", ({ document, before }) => {
    const [, by = ""] = /<!-- (?:shown|measured) by (.*?) -->/.exec(before) ?? [];
    if (by === "" && before.includes("<!-- a drawing -->")) return;
    // Scripts are looked up below, wherever a document names one.
    if (by.startsWith("npm run ")) return;
    else expect(read(by)).toContain(document);
  });
});

describe.each(documents)("%s", (document) => {
  const text = read(document);

  it("links to what is there", () => {
    for (const [, path = "", fragment] of text.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)/g)) {
      const target = path === "" ? document : normalize(join(dirname(document), path));
      expect(
        statSync(join(PROJECT, target), { throwIfNoEntry: false })?.size,
        `${document}: ${path}`,
      ).toBeGreaterThan(0);
      if (fragment === undefined) continue;
      const headings = [...read(target).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) => anchor(heading));
      expect(headings, `${document}: ${path}#${fragment}`).toContain(fragment);
    }
  });

  it("names npm scripts that there are", () => {
    for (const [, name = "", argument = ""] of text.matchAll(
      /npm run (?!-)([\w:]+)(?: -- ([a-z][\w-]*))?/g,
    )) {
      expect(Object.keys(scripts)).toContain(name);
      if (name === "test:lane") expect(existsSync(join(PROJECT, "test", argument)), argument).toBe(true);
      if (name === "bench" && argument !== "")
        expect(read("bench/run.js"), argument).toMatch(new RegExp(`^  "?${argument}"?: \\[`, "m"));
    }
  });

  it("names files that there are", () => {
    for (const [path] of text.matchAll(
      /(?<![\w./-])(?:lib|native|test|scripts|bench|docs|examples|profiles|assets)\/[\w./-]*\w\.(?:tsx?|js|cc|h|md|sh|json|py|mtree)\b/g,
    ))
      expect(existsSync(join(PROJECT, path)), `${document}: ${path}`).toBe(true);
  });
});
