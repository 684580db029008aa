/** The descriptions of a controller and its namespaces (NVM Express Base Specification 2.0, section 5.17). */

/** Controller or Namespace Structure (CNS) of IDENTIFY. */
export const IDENTIFY_NAMESPACE = 0;
export const IDENTIFY_CONTROLLER = 1;
export const IDENTIFY_ACTIVE_NAMESPACES = 2;
/** Length of each of these, in bytes. */
export const IDENTIFY_BYTES = 4096;

/** A controller. */
export interface ControllerIdentity {
  readonly serial: string;
  readonly model: string;
  readonly firmware: string;
  /** The most data of one command, in units of the controller's smallest page; undefined: no limit. */
  readonly transferPages: number | undefined;
  /** How long a shutdown may take, in milliseconds; 0: not told. */
  readonly shutdownTimeout: number;
  /** Whether there is a volatile write cache. Written data is safe only after a flush. */
  readonly volatileWriteCache: boolean;
}

/** A namespace. */
export interface NamespaceIdentity {
  /** Its size in blocks. */
  readonly blocks: number;
  /** Size of a block, in bytes. */
  readonly blockSize: number;
  /** Bytes of metadata of a block. */
  readonly metadata: number;
}

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Reads the answer to IDENTIFY_CONTROLLER. */
export function controllerIdentity(bytes: Uint8Array): ControllerIdentity {
  // ASCII, filled up with spaces. Other characters of a device are not for terminals.
  const text = (start: number, length: number) =>
    Buffer.from(bytes.subarray(start, start + length))
      .toString("latin1")
      .replaceAll(/[^ -~]+/g, " ")
      .trim();
  const fields = view(bytes);
  const exponent = fields.getUint8(77);
  return {
    serial: text(4, 20),
    model: text(24, 40),
    firmware: text(64, 8),
    transferPages: exponent === 0 ? undefined : 2 ** exponent,
    shutdownTimeout: Math.ceil(fields.getUint32(88, true) / 1000),
    volatileWriteCache: (fields.getUint8(525) & 1) === 1,
  };
}

/** Reads the answer to IDENTIFY_ACTIVE_NAMESPACES: ids, the lowest first. */
export function activeNamespaces(bytes: Uint8Array): number[] {
  const fields = view(bytes);
  const ids: number[] = [];
  for (let at = 0; at < IDENTIFY_BYTES; at += 4) {
    const id = fields.getUint32(at, true);
    if (id === 0) break;
    ids.push(id);
  }
  return ids;
}

/** Reads the answer to IDENTIFY_NAMESPACE. */
export function namespaceIdentity(bytes: Uint8Array): NamespaceIdentity {
  const fields = view(bytes);
  const size = fields.getUint8(26);
  // Bits 5 and 6 are the upper ones of the number of the format.
  const format = 128 + 4 * ((size & 0xf) | ((size & 0x60) >> 1));
  return {
    blocks: Number(fields.getBigUint64(0, true)),
    blockSize: 2 ** fields.getUint8(format + 2),
    metadata: fields.getUint16(format, true),
  };
}
