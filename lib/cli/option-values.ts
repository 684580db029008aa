/** Values of options that are more than words. */

import { InvalidArgumentError } from "commander";

/** An option that is a register: 64 bits in hexadecimal. */
export function parseRegister(value: string): bigint {
  if (!/^(0x)?[0-9a-f]{1,16}$/i.test(value)) {
    throw new InvalidArgumentError(
      "It must be a hexadecimal number of at most 64 bits, such as 0xd2008c22260286.",
    );
  }
  return BigInt(value.startsWith("0x") || value.startsWith("0X") ? value : `0x${value}`);
}

/** An option that is a size in bytes: 4096, 0x1000, 64K, 2M. */
export function parseSize(value: string): number {
  const match = /^(?<digits>\d+|0x[0-9a-f]+)(?<unit>[KMG]?)$/i.exec(value)?.groups as
    | { digits: string; unit: string }
    | undefined;
  const size =
    match === undefined
      ? Number.NaN
      : Number(match.digits) * 1024 ** " KMG".indexOf(match.unit.toUpperCase() || " ");
  if (!Number.isSafeInteger(size))
    throw new InvalidArgumentError("It must be a size in bytes, such as 4096 or 64K.");
  return size;
}
