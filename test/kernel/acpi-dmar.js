// A DMAR table that takes the place of QEMU's: it has reserved memory regions (RMRR), which QEMU's has not. Linux takes it from
// an initrd (CONFIG_ACPI_TABLE_UPGRADE; Documentation/admin-guide/acpi/initrd_table_override.rst).

/** The reserved memory of the machine's firmware that the regions are in: Linux calls a region elsewhere a bug. */
const RESERVED_REGION = { start: 0x7fff_f000, last: 0x7fff_ffff };

/** @typedef {{ device: number, function: number }} Endpoint on bus 0 */

/**
 * An initrd with nothing but a DMAR table.
 *
 * @param {readonly Endpoint[]} endpoints the devices for which the region has to stay mapped
 */
export function initrdWithReservedRegion(endpoints) {
  const table = dmarTable(endpoints);
  return Buffer.concat([cpioEntry("kernel/firmware/acpi/dmar.aml", table), cpioEntry("TRAILER!!!")]);
}

/** The layout is that of the VT-d specification, chapter 8. */
function dmarTable(/** @type {readonly Endpoint[]} */ endpoints) {
  const INTERRUPT_REMAPPING = 1;
  const INCLUDE_PCI_ALL = 1;
  const scope = (type = 0, id = 0, bus = 0, device = 0, fn = 0) =>
    bytes([type, 1], [8, 1], [0, 2], [id, 1], [bus, 1], [device, 1], [fn, 1]);
  const ioApic = scope(3, 0, 0xff);
  const unit = bytes([0, 2], [16 + ioApic.length, 2], [INCLUDE_PCI_ALL, 1], [0, 1], [0, 2], [0xfed9_0000, 8]);
  const scopes = endpoints.map((each) => scope(1, 0, 0, each.device, each.function));
  const { start, last } = RESERVED_REGION;
  const region = bytes([1, 2], [24 + 8 * scopes.length, 2], [0, 2], [0, 2], [start, 8], [last, 8]);
  const body = Buffer.concat([
    bytes([38, 1], [INTERRUPT_REMAPPING, 1], [0, 10]),
    unit,
    ioApic,
    region,
    ...scopes,
  ]);
  // Linux takes it for a later one of the same firmware: its revision is greater.
  const header = Buffer.concat([
    Buffer.from("DMAR"),
    bytes([36 + body.length, 4], [1, 1], [0, 1]),
    Buffer.from("BOCHS BXPC    "),
    bytes([2, 4]),
    Buffer.from("BXPC"),
    bytes([1, 4]),
  ]);
  const table = Buffer.concat([header, body]);
  table[9] = -table.reduce((sum, byte) => sum + byte, 0) & 0xff;
  return table;
}

/** Little-endian numbers, each with its size in bytes. */
function bytes(/** @type {[value: number, size: number][]} */ ...fields) {
  return Buffer.concat(
    fields.map(([value, size]) => {
      const field = Buffer.alloc(size);
      field.writeUIntLE(value, 0, Math.min(size, 6));
      return field;
    }),
  );
}

/** A file in the format "newc" (cpio(5)). */
function cpioEntry(/** @type {string} */ name, content = Buffer.alloc(0)) {
  const FILE = 0o100644;
  const fields = [0, FILE, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length + 1, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}${name}\0`;
  const aligned = (/** @type {Buffer} */ part) => Buffer.concat([part, Buffer.alloc(-part.length & 3)]);
  return Buffer.concat([aligned(Buffer.from(header)), aligned(content)]);
}
