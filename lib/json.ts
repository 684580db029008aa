/**
 * How JSON is read and written here: u64 values are hexadecimal strings, every document names its schema, and
 * what does not fit is refused with the path of the field.
 */

import type { ValueNode } from "@humanwhocodes/momoa";
import type { z } from "zod";
import { IommufdError } from "./errors.ts";
import { momoa, schema } from "./lazy.ts";
import { VALUE_LIMIT } from "./limits.ts";

const U64_LIMIT = 1n << 64n;

/** The longest document that is looked at once more to say where in it something is wrong, in UTF-16 units. */
const LONGEST_LOOKED_AT = 4 << 20;

/** A u64 in JSON: "0xfffc0000". Read as a bigint. */
export const u64 = schema((z) =>
  z
    .string()
    .regex(/^0x[0-9a-fA-F]{1,16}$/, {
      error: 'must be a hexadecimal string of at most 64 bits, such as "0xfffc0000"',
      // Checks of several fields at once may count on bigints.
      abort: true,
    })
    .transform((text) => BigInt(text)),
);

/** Writes a u64, or a length of up to 2^64, for JSON. */
export function hex(value: bigint): string {
  if (value < 0n || value > U64_LIMIT) throw new RangeError(`${value} is not an unsigned 64-bit value`);
  return `0x${value.toString(16)}`;
}

/** How many elements are made and written at once. */
const ELEMENTS_AT_ONCE = 1000;

/** An array of a document, whose elements are made when they are written: few of a million are there at any time. */
export class Elements<Source> {
  readonly #source: readonly Source[];
  readonly #make: (source: Source) => unknown;

  constructor(source: readonly Source[], make: (source: Source) => unknown) {
    this.#source = source;
    this.#make = make;
  }

  /** All of them, as JSON.stringify() takes them. */
  toJSON(): unknown[] {
    return this.#source.map(this.#make);
  }

  /** Some of them at a time. */
  *pieces(): Generator<unknown[], void> {
    for (let from = 0; from < this.#source.length; from += ELEMENTS_AT_ONCE)
      yield this.#source.slice(from, from + ELEMENTS_AT_ONCE).map(this.#make);
  }
}

/** A document as JSON.stringify(document, null, 2) writes it, piece by piece. */
export function* jsonPieces(document: object, indent = ""): Generator<string, void> {
  const inner = `${indent}  `;
  let before = "{\n";
  for (const [name, value] of Object.entries(document)) {
    if (value === undefined) continue;
    yield `${before}${inner}${JSON.stringify(name)}: `;
    before = ",\n";
    if (value instanceof Elements) yield* elementPieces(value, inner);
    else if (isPlainObject(value)) yield* jsonPieces(value, inner);
    else yield JSON.stringify(value, null, 2).replaceAll("\n", `\n${inner}`);
  }
  yield before === "{\n" ? "{}" : `\n${indent}}`;
}

function isPlainObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

function* elementPieces<Source>(elements: Elements<Source>, indent: string): Generator<string, void> {
  // Within as many arrays as the elements are deep, JSON.stringify() indents them as they have to be.
  const nested = (value: unknown[]) => {
    let outer = value;
    for (let depth = indent.length; depth > 0; depth -= 2) outer = [outer];
    return JSON.stringify(outer, null, 2);
  };
  const example = nested([0]);
  const at = example.indexOf("0");
  const start = example.lastIndexOf("\n", at);
  const end = at + 1 - example.length;
  let before = "[";
  for (const some of elements.pieces()) {
    yield before + nested(some).slice(start, end);
    before = ",";
  }
  yield before === "[" ? "[]" : `\n${indent}]`;
}

/**
 * Reads a JSON document.
 *
 * @param text the document
 * @param schema what it must be
 * @param source what to call it in errors: a file name
 * @throws IommufdError ERR_IOMMUFD_INPUT, naming the source, line and column, and the path of the field
 */
export function readJson<Schema extends z.ZodType>(
  text: string,
  schema: Schema,
  source: string,
): z.output<Schema> {
  if (hasTooManyValues(text))
    throw new IommufdError(
      "ERR_IOMMUFD_INPUT",
      `${source}: it has more than ${VALUE_LIMIT} values, the most that is read of a JSON document`,
    );
  let document: unknown;
  try {
    // Some editors begin a text with a byte order mark.
    document = JSON.parse(text.replace(/^\ufeff/, ""));
  } catch (error) {
    const { message, place } = whereSyntax(text, error as Error);
    throw new IommufdError("ERR_IOMMUFD_INPUT", `${source}${place}: not JSON: ${message}`, { cause: error });
  }
  const result = schema.safeParse(document);
  if (result.success) return result.data;
  const issue = firstIssue(result.error);
  throw new IommufdError("ERR_IOMMUFD_INPUT", `${source}${whereField(text, issue.path)}: ${issue.message}`);
}

/**
 * Checks a JSON value.
 *
 * @throws IommufdError ERR_IOMMUFD_INPUT, naming the source and the path of the field
 */
export function checkJson<Schema extends z.ZodType>(
  value: unknown,
  schema: Schema,
  source: string,
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new IommufdError("ERR_IOMMUFD_INPUT", `${source}: ${firstIssue(result.error).message}`);
}

function firstIssue(error: z.ZodError): { path: readonly PropertyKey[]; message: string } {
  const [issue] = error.issues;
  const { path = [] } = issue ?? {};
  const name = path.map((key) => (typeof key === "number" ? `[${key}]` : `.${String(key)}`)).join("");
  return { path, message: `${name.replace(/^\./, "") || "the document"}: ${issue?.message}` };
}

/**
 * Values, names and elements are what these characters begin. Commas in strings count too, so the real limit is a
 * little lower.
 */
function hasTooManyValues(text: string): boolean {
  let values = 0;
  for (let index = text.length > VALUE_LIMIT ? 0 : text.length; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === 0x2c || code === 0x5b || code === 0x7b) values++;
  }
  return values > VALUE_LIMIT;
}

/** The place where a text stops being JSON, as ":LINE:COLUMN", and why. */
function whereSyntax(text: string, { message }: Error): { message: string; place: string } {
  const [, position] = /position (\d+)/.exec(message) ?? [];
  const offset = position ?? (/end of JSON input/.test(message) ? text.length : undefined);
  const told = message.replace(/ in JSON at position \d+.*$/, "");
  if (offset !== undefined) return { message: told, place: placeOf(text, Number(offset)) };
  if (text.length > LONGEST_LOOKED_AT) return { message: told, place: "" };
  // JSON.parse does not say where an unexpected character is.
  try {
    momoa().parse(text);
  } catch (error) {
    const { line, column } = error as { line?: number; column?: number };
    if (line !== undefined) return { message: told, place: `:${line}:${column}` };
  }
  return { message: told, place: "" };
}

function placeOf(text: string, offset: number): string {
  const before = text.slice(0, offset);
  return `:${before.split("\n").length}:${offset - before.lastIndexOf("\n")}`;
}

/** Where in a text a field is, as ":LINE:COLUMN"; for a missing field, the place of the object that should have it. */
function whereField(text: string, path: readonly PropertyKey[]): string {
  if (text.length > LONGEST_LOOKED_AT) return "";
  let node: ValueNode;
  try {
    node = momoa().parse(text).body;
  } catch {
    return ""; // nested too deeply to be looked at once more
  }
  for (const key of path) {
    const next =
      node.type === "Array"
        ? node.elements[Number(key)]?.value
        : node.type === "Object"
          ? node.members.findLast(({ name }) => name.type === "String" && name.value === key)?.value
          : undefined;
    if (next === undefined) break;
    node = next;
  }
  const { line, column } = node.loc.start;
  return `:${line}:${column}`;
}
