/** Registers and their fields. */

/** A field of a register. */
export interface Field {
  /** The specification's acronym. */
  readonly name: string;
  /** The number of its lowest bit. */
  readonly bit: number;
  /** How many bits it has. */
  readonly width: number;
  /** The specification's name of it. */
  readonly title: string;
  /** The meaning of a value, if it is more than "supported". */
  readonly meaning?: (value: number) => string;
}

/** Raw values of the fields of a register, unsigned, under the specification's acronyms. */
export type FieldValues = Readonly<Record<string, number>>;

/** A field of one bit. */
export function flag(
  name: string,
  bit: number,
  title: string,
  meaning?: readonly [clear: string, set: string],
): Field {
  return { name, bit, width: 1, title, ...(meaning && { meaning: (value) => meaning[value] as string }) };
}

/** A field of several bits, written as the specification does: the highest and the lowest. */
export function field(
  name: string,
  high: number,
  low: number,
  title: string,
  meaning: (value: number) => string = String,
): Field {
  return { name, bit: low, width: high - low + 1, title, meaning };
}

/** The meaning of each value; any other is reserved. */
export function oneOf(...meanings: string[]): (value: number) => string {
  return (value) => meanings[value] ?? "reserved value";
}

/** Raw values, from the lowest bit up. */
export function fieldValues(register: bigint, fields: readonly Field[]): FieldValues {
  return Object.fromEntries(
    fields.map(({ name, bit, width }) => [
      name,
      Number((register >> BigInt(bit)) & ((1n << BigInt(width)) - 1n)),
    ]),
  );
}

/** The bits that are set and belong to no field. */
export function reservedBits(register: bigint, fields: readonly Field[]): number[] {
  const known = fields.reduce(
    (mask, { bit, width }) => mask | (((1n << BigInt(width)) - 1n) << BigInt(bit)),
    0n,
  );
  const unknown = register & ~known;
  return Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => (unknown >> BigInt(bit)) & 1n);
}
