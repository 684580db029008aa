/**
 * How JSON is read and written here: u64 values are hexadecimal strings, every document names its schema, and
 * what does not fit is refused with the path of the field.
 */

import { z } from "zod";
import { IommufdError } from "./errors.ts";

const U64_LIMIT = 1n << 64n;

/** A u64 in JSON: "0xfffc0000". Read as a bigint. */
export const u64 = z
  .string()
  .regex(/^0x[0-9a-fA-F]{1,16}$/, {
    error: 'must be a hexadecimal string of at most 64 bits, such as "0xfffc0000"',
  })
  .transform((text) => BigInt(text));

/** Writes a u64, or a length of up to 2^64, for JSON. */
export function hex(value: bigint): string {
  if (value < 0n || value > U64_LIMIT) throw new RangeError(`${value} is no u64`);
  return `0x${value.toString(16)}`;
}

/**
 * Reads a JSON document.
 *
 * @param text the document
 * @param schema what it must be
 * @param source what to call it in errors: a file name
 * @throws IommufdError ERR_IOMMUFD_INPUT, naming the source and the line, or the path of the field
 */
export function readJson<Schema extends z.ZodType>(
  text: string,
  schema: Schema,
  source: string,
): z.output<Schema> {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw new IommufdError("ERR_IOMMUFD_INPUT", `${source}: not JSON: ${(error as Error).message}`, {
      cause: error,
    });
  }
  return checkJson(document, schema, source);
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
  const issue = result.error.issues[0];
  const path = (issue?.path ?? [])
    .map((key) => (typeof key === "number" ? `[${key}]` : `.${String(key)}`))
    .join("");
  throw new IommufdError(
    "ERR_IOMMUFD_INPUT",
    `${source}: ${path === "" ? "the document" : path.replace(/^\./, "")}: ${issue?.message}`,
  );
}
