/**
 * A PCI device over a socket (vfio-user, docs/interop/vfio-user.rst of QEMU), which does nothing but write down what it is given for DMA.
 *
 * To QEMU it is a device to assign, of the same VFIO listener that real ones have (hw/vfio/listener.c), and takes no hardware:
 * what the listener maps, it asks this device to map.
 */

import { createServer, type Server, type Socket } from "node:net";

/** Commands of the protocol. */
const COMMAND = {
  version: 1,
  dmaMap: 2,
  dmaUnmap: 3,
  deviceGetInfo: 4,
  deviceGetRegionInfo: 5,
  deviceGetIrqInfo: 7,
  regionRead: 9,
} as const;

/** Flags of a message. */
const REPLY = 1;
const NO_REPLY = 1 << 4;
const HEADER = 16;

/** Numbers of what a VFIO device of PCI has, and which of them are the configuration space. */
const REGIONS = 9;
const INTERRUPTS = 5;
const CONFIGURATION_SPACE = 7;
const CONFIGURATION_SPACE_SIZE = 256;

/** A range that QEMU has mapped for the device. */
export interface MappedRange {
  readonly iova: bigint;
  readonly length: bigint;
  readonly readonly: boolean;
}

/** The device: listens from its start to its end. */
export class VfioUserDevice implements AsyncDisposable {
  readonly #server: Server;
  readonly #mapped = new Map<bigint, MappedRange>();
  #socket: Socket | undefined;

  private constructor() {
    this.#server = createServer((socket) => this.#serve(socket));
  }

  /** Listens on a socket. */
  static async listen(path: string): Promise<VfioUserDevice> {
    const device = new VfioUserDevice();
    await new Promise<void>((resolve) => device.#server.listen(path, resolve));
    return device;
  }

  /** The mappings now, by address. */
  mapped(): MappedRange[] {
    return [...this.#mapped.values()].sort((a, b) => (a.iova < b.iova ? -1 : 1));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket?.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket): void {
    this.#socket = socket;
    socket.on("error", () => {});
    let received = Buffer.alloc(0);
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= HEADER && received.length >= received.readUInt32LE(4)) {
        const message = received.subarray(0, received.readUInt32LE(4));
        received = received.subarray(message.length);
        const reply = this.#answer(message.readUInt16LE(2), message.subarray(HEADER));
        if (message.readUInt32LE(8) & NO_REPLY) continue;
        const header = Buffer.alloc(HEADER);
        message.copy(header, 0, 0, 4);
        header.writeUInt32LE(HEADER + reply.length, 4);
        header.writeUInt32LE(REPLY, 8);
        socket.write(Buffer.concat([header, reply]));
      }
    });
  }

  /** The answers to commands. */
  #answer(command: number, request: Buffer): Buffer {
    const reply = Buffer.from(request);
    switch (command) {
      case COMMAND.version:
        // The client's own version; no capabilities but those that every server has.
        return Buffer.concat([request.subarray(0, 4), Buffer.from('{"capabilities":{}}\0')]);
      case COMMAND.dmaMap: {
        const [flags, iova, length] = [
          request.readUInt32LE(4),
          request.readBigUInt64LE(16),
          request.readBigUInt64LE(24),
        ];
        this.#mapped.set(iova, { iova, length, readonly: (flags & 2) === 0 });
        return reply;
      }
      case COMMAND.dmaUnmap:
        this.#mapped.delete(request.readBigUInt64LE(8));
        return reply;
      case COMMAND.deviceGetInfo:
        // Can be reset, and is of PCI.
        reply.writeUInt32LE(1 | 2, 4);
        reply.writeUInt32LE(REGIONS, 8);
        reply.writeUInt32LE(INTERRUPTS, 12);
        return reply;
      case COMMAND.deviceGetRegionInfo: {
        const isConfiguration = request.readUInt32LE(8) === CONFIGURATION_SPACE;
        // Readable and writable; the others have no bytes.
        reply.writeUInt32LE(isConfiguration ? 3 : 0, 4);
        reply.writeBigUInt64LE(isConfiguration ? BigInt(CONFIGURATION_SPACE_SIZE) : 0n, 16);
        return reply;
      }
      case COMMAND.deviceGetIrqInfo:
        reply.writeUInt32LE(0, 12);
        return reply;
      case COMMAND.regionRead: {
        // Configuration space: a vendor and a device that nobody has, and zeroes.
        const [offset, count] = [Number(request.readBigUInt64LE(0)), request.readUInt32LE(12)];
        const space = Buffer.alloc(Math.max(CONFIGURATION_SPACE_SIZE, offset + count));
        space.writeUInt32LE(0x0001_fffe, 0);
        return Buffer.concat([request.subarray(0, 16), space.subarray(offset, offset + count)]);
      }
      default:
        return reply;
    }
  }
}
