/** docs/json.md is exact: each field that a command writes is there with its type, and each field that is there is written. */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { decideBypassRo, plan } from "../../lib/index.ts";
import { planDocument } from "../../lib/report/plan-report.ts";
import { iommufd, ORIGIN, PROJECT } from "./command.ts";

const GUEST = "examples/guest-with-nesting.mtree";
const ASKED = ["--profile", "sapphire-rapids", "--json"];

/** Fields of each document: by path, the types. */
type Fields = Map<string, Set<string>>;

function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "string") return /^0x[0-9a-f]+$/.test(value) ? "hex" : "string";
  return Number.isInteger(value) ? "integer" : typeof value;
}

/** Adds what a document has. */
function addFields(fields: Fields, value: unknown, path = ""): void {
  if (path !== "") fields.set(path, (fields.get(path) ?? new Set()).add(typeOf(value)));
  if (Array.isArray(value)) for (const element of value) addFields(fields, element, `${path}[]`);
  else if (typeof value === "object" && value !== null)
    for (const [name, field] of Object.entries(value))
      addFields(fields, field, path === "" ? name : `${path}.${name}`);
}

/** The tables of the document, by heading; a row can name several fields. */
const tables = new Map<string, Fields>();
let heading = "";
for (const line of readFileSync(`${PROJECT}docs/json.md`, "utf8").split("\n")) {
  if (line.startsWith("## ")) heading = line.slice(3);
  const [, names, types] = /^\| (`.*?`) \| (hex|string|integer|boolean|null|object|array)( or null)? \|/.exec(
    line,
  )
    ? (/^\| (.*?) \| (.*?) \|/.exec(line) ?? [])
    : [];
  if (names === undefined || types === undefined) continue;
  const fields = tables.get(heading) ?? new Map<string, Set<string>>();
  tables.set(heading, fields);
  for (const [, name = ""] of names.matchAll(/`([^`]+)`/g)) fields.set(name, new Set(types.split(" or ")));
}

/** The table of a schema, with the fields that every document has. */
function documented(schema: string): Fields {
  const [, own = new Map<string, Set<string>>()] =
    [...tables].find(([title]) => title.startsWith(`\`${schema}\``)) ?? [];
  return new Map([...(tables.get("Who answered") ?? []), ...own]);
}

/** The document that a command writes, whether the command succeeds or not. */
const written = (args: readonly string[], input = ""): unknown => JSON.parse(iommufd(args, input).stdout);

const vm = {
  version: "11.1.3",
  sections: [],
  nesting: true,
  propertyNames: undefined,
  virtioMem: [{ id: "vmem0", start: 0n, last: 0xffffn, plugged: 0n }],
  sgxEpc: [{ start: 0n, last: 0xffffn }],
};
const ofRunningVm = () =>
  JSON.parse(
    JSON.stringify(
      planDocument({
        origin: ORIGIN.nobody,
        addressSpace: "memory",
        nesting: true,
        decision: decideBypassRo({ nesting: true, setting: "on" }),
        affected: undefined,
        nestParent: undefined,
        plan: plan([], { bypassRo: true, pageSize: 4096 }),
        vm,
      }),
    ),
  );

const CUT = readFileSync(`${PROJECT}${GUEST}`, "utf8").trimEnd().slice(0, -10);
const UNSURE = `FlatView #0
 AS "memory", root: system
 Root memory region: system
  0000000000000000-0000000000000fff (prio 0, ram): ram
  0000000000001000-0000000000001fff (prio 0, rom): rom

`;
const RESERVED = JSON.stringify({
  schema: "iommufd.sections/1",
  sections: [
    { start: "0xfee00000", last: "0xfee00fff", type: "ram", region: "ram" },
    { start: "0x1000000000000000", last: "0x1000000000000fff", type: "ram", region: "high" },
  ],
});
const planOf = (bypassRo: string) => iommufd(["plan", GUEST, "--bypass-ro", bypassRo, "--json"]).stdout;

const SAMPLES: Record<string, (() => unknown)[]> = {
  "iommufd.plan/1": [
    () => written(["plan", GUEST, ...ASKED]),
    () => written(["plan", "-", ...ASKED], CUT),
    () => written(["plan", "-", ...ASKED, "--bypass-ro", "off"], UNSURE),
    ofRunningVm,
  ],
  "iommufd.probe/1": ["sapphire-rapids", "vtd-no-erratum", "none", "selftest"].map(
    (profile) => () => written(["probe", "0000:00:1f.0", "--profile", profile, "--json"]),
  ),
  "iommufd.doctor/1": [() => written(["doctor", "--json"])],
  "iommufd.check/1": [
    () => written(["check", GUEST, ...ASKED]),
    () => written(["check", GUEST, ...ASKED, "--bypass-ro", "off"]),
    () => written(["check", GUEST, "--profile", "none", "--json"]),
    () => written(["check", "-", ...ASKED], RESERVED),
    () => written(["check", "-", ...ASKED, "--bypass-ro", "off"], UNSURE),
  ],
  "iommufd.vtd/1": [
    () => written(["decode", "--cap", "0xffffffffffffffff", "--ecap", "0xffffffffffffffff", "--json"]),
    () => written(["decode", "--cap", "0xd2008c22260286", "--ecap", "0x480084f00f4a", "--json"]),
  ],
  "iommufd.demo/1": [() => written(["demo", "--json"])],
};
SAMPLES["iommufd.probe/1"]?.push(() => written(["probe", ...ASKED]));

/** Whether a documented path, which can end with `.*`, is that of a field. */
const isOf = (path: string, documentedPath: string) =>
  documentedPath.endsWith(".*")
    ? path.startsWith(documentedPath.slice(0, -1)) && !/[.[]/.test(path.slice(documentedPath.length - 1))
    : path === documentedPath;

function compare(expected: Fields, documents: readonly unknown[]): void {
  const seen: Fields = new Map();
  for (const document of documents) addFields(seen, document);
  for (const [path, types] of seen) {
    // An element of an array of objects has rows for its fields.
    if (path.endsWith("[]") && types.size === 1 && types.has("object")) continue;
    const [, allowed] = [...expected].find(([name]) => isOf(path, name)) ?? [];
    expect(allowed, `${path} is not documented`).toBeDefined();
    expect([...(allowed ?? [])], `type of ${path}`).toEqual(expect.arrayContaining([...types]));
  }
  for (const path of expected.keys())
    expect(
      [...seen.keys()].some((name) => isOf(name, path)),
      `${path} is documented, and not written`,
    ).toBe(true);
}

describe("docs/json.md", () => {
  it.each(Object.keys(SAMPLES))("%s has the fields and the types of the tables", (schema) => {
    const documents = (SAMPLES[schema] ?? []).map((make) => make());
    expect(documents.map((document) => (document as { schema: string }).schema)).toEqual(
      documents.map(() => schema),
    );
    compare(documented(schema), documents);
  });

  it("iommufd.diff/1 has them, of both plans alike", () => {
    const before = JSON.parse(planOf("off")) as { map: unknown[] };
    const [first, ...others] = before.map;
    expect(first).toBeDefined();
    const without = JSON.stringify({ ...before, map: others });
    const documents = [
      [planOf("on"), planOf("off")],
      [planOf("off"), planOf("on")],
      [without, planOf("on")],
      [planOf("on"), without],
    ].map(([one = "", other = ""]) => {
      const path = `${PROJECT}build/test/json-document.json`;
      mkdirSync(`${PROJECT}build/test`, { recursive: true });
      writeFileSync(path, one);
      return written(["diff", path, "-", "--json"], other);
    });
    const expected = documented("iommufd.diff/1");
    for (const [path, types] of [...expected])
      if (path.includes("before.")) expected.set(path.replace("before.", "after."), types);
    compare(expected, documents);
  });

  it("iommufd.vtd-units/1 has those of a unit, and of iommufd.vtd/1", () => {
    const log = ["d2008c22260286 ecap 480084f00f4a", "ffffffffffffffff ecap ffffffffffffffff"]
      .map((registers, at) => `DMAR: dmar${at}: reg_base_addr fed9${at}000 ver 1:0 cap ${registers}\n`)
      .join("");
    const expected = documented("iommufd.vtd-units/1");
    for (const [path, types] of documented("iommufd.vtd/1"))
      if (/^(cap|ecap|derived)\b/.test(path)) expected.set(`units[].${path}`, types);
    compare(expected, [written(["decode", "--dmesg", "-", "--json"], log)]);
  });
});
