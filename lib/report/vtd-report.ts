/** VT-d's registers, for people and as JSON. */

import type { VtdUnit } from "../host/vtd-units.ts";
import type { Field, FieldValues } from "../hw-info/register.ts";
import { decodeVtd } from "../hw-info/vtd.ts";
import { CAP_FIELDS, ECAP_FIELDS } from "../hw-info/vtd-registers.ts";
import { hex } from "../json.ts";
import type { Origin } from "../origin.ts";
import { formatDerived } from "./iommu-report.ts";
import { type Look, PLAIN } from "./look.ts";
import { formatAddress, formatOrigin, formatTable, wrap } from "./text.ts";

/** The document `iommufd.vtd/1`. */
export function vtdDocument(origin: Origin, capReg: bigint, ecapReg: bigint): object {
  return { schema: "iommufd.vtd/1", ...origin, ...decodeVtd(capReg, ecapReg) };
}

/** The document `iommufd.vtd-units/1`: the units of a kernel log or of a host, each with the fields of `iommufd.vtd/1`. */
export function vtdUnitsDocument(origin: Origin, units: readonly VtdUnit[]): object {
  return {
    schema: "iommufd.vtd-units/1",
    ...origin,
    units: units.map(({ name, registerBase, version, capReg, ecapReg }) => ({
      name,
      registerBase: registerBase === undefined ? null : hex(registerBase),
      version: version ?? null,
      capReg: hex(capReg),
      ecapReg: hex(ecapReg),
      ...decodeVtd(capReg, ecapReg),
    })),
  };
}

/** Two registers for people: what they come to, then field by field. */
export function formatVtd(origin: Origin, capReg: bigint, ecapReg: bigint, look: Look = PLAIN): string {
  return `${formatOrigin(origin, look.width)}\n\n${formatUnit(capReg, ecapReg, look)}`;
}

function formatUnit(capReg: bigint, ecapReg: bigint, look: Look): string {
  const { cap, ecap, derived } = decodeVtd(capReg, ecapReg);
  const { reservedBits } = derived;
  return [
    ...formatDerived(derived).flatMap((line) => wrap(line, look.width)),
    "",
    formatRegister("CAP_REG", capReg, CAP_FIELDS, cap, reservedBits.cap, look),
    "",
    formatRegister("ECAP_REG", ecapReg, ECAP_FIELDS, ecap, reservedBits.ecap, look),
  ].join("\n");
}

/** The units of a kernel log or of a host, for people. */
export function formatVtdUnits(origin: Origin, units: readonly VtdUnit[], look: Look = PLAIN): string {
  const parts = units.map(({ name, registerBase, version, capReg, ecapReg }) => {
    const at = registerBase === undefined ? "" : ` at ${formatAddress(registerBase)}`;
    const of = version === undefined ? "" : `, version ${version}`;
    return `${name}${at}${of}\n${formatUnit(capReg, ecapReg, look)}`;
  });
  return [formatOrigin(origin, look.width), ...parts].join("\n\n");
}

function formatRegister(
  name: string,
  register: bigint,
  fields: readonly Field[],
  values: FieldValues,
  reserved: readonly number[],
  { width, paint }: Look,
): string {
  const rows = fields.map((field) => {
    const value = values[field.name] as number;
    const bits = field.width === 1 ? `${field.bit}` : `${field.bit + field.width - 1}:${field.bit}`;
    return [bits, field.name, String(value), field.title, field.meaning?.(value) ?? (value ? "yes" : "no")];
  });
  const warning = `set although reserved: bits ${reserved.join(", ")}`;
  return [
    `${name} ${formatAddress(register)}`,
    formatTable(["bits", "field", "value", "", "meaning"], rows, width),
    ...(reserved.length === 0 ? [] : wrap(warning, width).map((line) => paint("yellow", line))),
  ].join("\n");
}
