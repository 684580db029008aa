/** The bundle: a command loads no more than it uses, for each file is time before it starts. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { PROJECT } from "./command.ts";

/** A file of the bundle, and all that it imports at once, packages and modules of Node.js too. */
function loadedWith(file: string, found = new Set<string>()): Set<string> {
  if (found.has(file)) return found;
  found.add(file);
  if (!file.startsWith("./")) return found;
  const text = readFileSync(`${PROJECT}dist/bundled/${file}`, "utf8");
  for (const [, from = ""] of text.matchAll(/^import (?:.*? from )?"(.*?)";$/gm)) loadedWith(from, found);
  return found;
}

describe("the bundle", () => {
  it.each([
    ["iommufd.js", ["./library.js", "./host.js", "zod", "string-width", "node:crypto"]],
    ["doctor.js", ["./library.js", "./shared.js", "zod", "string-width", "node:crypto"]],
    ["plan.js", ["./pages.js", "./host.js", "zod", "string-width", "node:crypto"]],
    ["index.js", ["./shared.js", "./host.js", "zod", "string-width", "commander"]],
  ])("%s does without %j", (file, absent) => {
    const loaded = loadedWith(`./${file}`);
    expect(loaded).toContain("./base.js");
    expect(absent.filter((each) => loaded.has(each))).toEqual([]);
  });
});
