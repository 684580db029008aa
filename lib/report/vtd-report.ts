/** VT-d's registers, for people and as JSON. */

import type { DmarUnit } from "../host/dmesg.ts";
import type { Field, FieldValues } from "../hw-info/register.ts";
import { decodeVtd } from "../hw-info/vtd.ts";
import { CAP_FIELDS, ECAP_FIELDS } from "../hw-info/vtd-registers.ts";
import { hex } from "../json.ts";
import type { Origin } from "../origin.ts";
import { formatDerived } from "./iommu-report.ts";
import { formatAddress, formatOrigin, formatTable } from "./text.ts";

/** The document `iommufd.vtd/1`. */
export function vtdDocument(origin: Origin, capReg: bigint, ecapReg: bigint): object {
  return { schema: "iommufd.vtd/1", ...origin, ...decodeVtd(capReg, ecapReg) };
}

/** The document `iommufd.vtd-units/1`: the units of a kernel log, each with the fields of `iommufd.vtd/1`. */
export function vtdUnitsDocument(origin: Origin, units: readonly DmarUnit[]): object {
  return {
    schema: "iommufd.vtd-units/1",
    ...origin,
    units: units.map(({ name, registerBase, version, capReg, ecapReg }) => ({
      name,
      registerBase: hex(registerBase),
      version,
      capReg: hex(capReg),
      ecapReg: hex(ecapReg),
      ...decodeVtd(capReg, ecapReg),
    })),
  };
}

/** Two registers for people: what they come to, then field by field. */
export function formatVtd(origin: Origin, capReg: bigint, ecapReg: bigint): string {
  return `${formatOrigin(origin)}\n\n${formatUnit(capReg, ecapReg)}`;
}

function formatUnit(capReg: bigint, ecapReg: bigint): string {
  const { cap, ecap, derived } = decodeVtd(capReg, ecapReg);
  const { reservedBits } = derived;
  return [
    ...formatDerived(derived),
    "",
    formatRegister("CAP_REG", capReg, CAP_FIELDS, cap, reservedBits.cap),
    "",
    formatRegister("ECAP_REG", ecapReg, ECAP_FIELDS, ecap, reservedBits.ecap),
  ].join("\n");
}

/** The units of a kernel log for people. */
export function formatVtdUnits(origin: Origin, units: readonly DmarUnit[]): string {
  const parts = units.map(
    ({ name, registerBase, version, capReg, ecapReg }) =>
      `${name} at ${formatAddress(registerBase)}, version ${version}\n${formatUnit(capReg, ecapReg)}`,
  );
  return [formatOrigin(origin), ...parts].join("\n\n");
}

function formatRegister(
  name: string,
  register: bigint,
  fields: readonly Field[],
  values: FieldValues,
  reserved: readonly number[],
): string {
  const rows = fields.map((field) => {
    const value = values[field.name] as number;
    const bits = field.width === 1 ? `${field.bit}` : `${field.bit + field.width - 1}:${field.bit}`;
    return [bits, field.name, String(value), field.title, field.meaning?.(value) ?? (value ? "yes" : "no")];
  });
  const warning = reserved.length === 0 ? "" : `\nset although reserved: bits ${reserved.join(", ")}`;
  return `${name} ${formatAddress(register)}\n${formatTable(["bits", "field", "value", "", "meaning"], rows)}${warning}`;
}
