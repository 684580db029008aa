/**
 * Unix sockets that carry descriptors (SCM_RIGHTS), which those of `node:net` cannot: how an iommufd or a device is
 * handed to a program that runs already.
 */

import { unlinkSync } from "node:fs";
import { constants } from "node:os";
import { setTimeout } from "node:timers/promises";
import { IommufdError, invalidType, isSystemError, outOfRange, systemError } from "../../errors.ts";
import { loadAddon, type NativeDescriptorList, type NativeUnixSocket } from "./addon.ts";
import { check } from "./check.ts";

/** How much is received at once, in bytes. */
const CAPACITY = 65536;

/** A message that came over a socket. */
export interface ReceivedMessage {
  /** The bytes that were there; a stream has no boundaries, so it may be less or more than was sent at once. */
  readonly data: Buffer;
  /** Descriptors that came with them, close-on-exec; they are yours to close. */
  readonly fds: readonly number[];
}

/**
 * A connected unix socket. It is an async iterable of what comes, until the other end closes.
 *
 * ```ts
 * using socket = UnixSocket.connect("/run/vm.sock");
 * await socket.send("iommufd", [iommufd.fd]);
 * ```
 */
export class UnixSocket implements Disposable, AsyncIterable<ReceivedMessage> {
  readonly #native: NativeUnixSocket;
  #closed = false;
  /** One message at a time goes out, and one comes in. Later calls wait in a queue. */
  readonly #sending = new Queue();
  readonly #receiving = new Queue();

  /** @internal */
  constructor(native: NativeUnixSocket) {
    this.#native = native;
  }

  /**
   * Connects to a socket.
   *
   * @throws SystemError of `connect`: ENOENT: there is none; ECONNREFUSED: nobody listens; EACCES; EAGAIN: too many wait
   * @throws IommufdError ERR_IOMMUFD_NO_KERNEL_BACKEND: the addon is not there
   */
  static connect(path: string): UnixSocket {
    return new UnixSocket(check(addon().connectUnixSocket(path), "connect", { path }));
  }

  /**
   * Sends bytes, and descriptors with the first of them. The other end gets duplicates: yours stay yours to close, as
   * soon as this returns; so do the bytes.
   *
   * @param data at least one byte, where there are descriptors
   * @throws SystemError `sendmsg` EPIPE, ECONNRESET: the other end has closed; `fcntl` EBADF: a number is not a
   *   descriptor; `fcntl` EMFILE: the process has no descriptor left to duplicate it
   * @throws RangeError ERR_OUT_OF_RANGE: more than 253 descriptors
   */
  async send(data: string | Uint8Array, fds: readonly number[] = []): Promise<void> {
    if (this.#closed) throw closed();
    if (typeof data !== "string" && !(data instanceof Uint8Array))
      throw invalidType("data", "a string or a Uint8Array", data);
    // Both are the caller's to change, move or close as soon as this returns, and the message may have to wait.
    let rest: Uint8Array = Buffer.from(data);
    if (rest.length === 0 && fds.length > 0)
      throw outOfRange("data", "at least one byte, for descriptors to go with", data);
    let along: NativeDescriptorList | undefined =
      fds.length === 0 ? undefined : check(addon().duplicateDescriptors(fds), "fcntl", { fds });
    try {
      await this.#sending.run(async () => {
        do {
          const outcome = this.#native.send(rest, along);
          if (outcome === -EAGAIN) {
            if (!(await check(this.#native.writable(), "epoll_ctl"))) throw closed();
            continue;
          }
          const sent = check(outcome, "sendmsg", { length: rest.length });
          // Where a worker is ending, a call into the addon answers nothing at all, and nothing interrupts this loop.
          if (!(sent > 0) && rest.length > 0) throw systemError("EIO", "sendmsg", { length: rest.length });
          rest = rest.subarray(sent);
          along?.close();
          along = undefined;
        } while (rest.length > 0);
      });
    } finally {
      along?.close();
    }
  }

  /** Waits for what comes next; undefined once the other end, or this one, has closed. */
  async receive(): Promise<ReceivedMessage | undefined> {
    return this.#receiving.run(async () => {
      while (!this.#closed) {
        const outcome = this.#native.receive(CAPACITY);
        if (outcome !== -EAGAIN) {
          const { data, fds } = check(outcome, "recvmsg");
          const message = { data: Buffer.from(data.buffer, data.byteOffset, data.byteLength), fds };
          return data.length === 0 && fds.length === 0 ? undefined : message;
        }
        await check(this.#native.readable(), "epoll_ctl");
      }
      return undefined;
    });
  }

  /** The messages, until the other end closes; throws as {@link receive} does. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ReceivedMessage, undefined> {
    for (let message = await this.receive(); message !== undefined; message = await this.receive())
      yield message;
  }

  /** Closes it. Calls that wait for a message get none. Closing twice is harmless. */
  close(): void {
    this.#closed = true;
    this.#native.close();
  }

  /** {@link close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** Runs one thing after the other. */
class Queue {
  #last: Promise<unknown> = Promise.resolve();

  run<Result>(body: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(body);
    this.#last = result.catch(() => {});
    return result;
  }
}

/**
 * A unix socket that takes connections: an async iterable of them, until it is closed.
 *
 * ```ts
 * using server = UnixServer.listen("/run/iommufd.sock");
 * for await (const client of server) …
 * ```
 */
export class UnixServer implements Disposable, AsyncIterable<UnixSocket> {
  readonly #native: NativeUnixSocket;
  readonly #path: string;
  #closed = false;

  private constructor(native: NativeUnixSocket, path: string) {
    this.#native = native;
    this.#path = path;
  }

  /**
   * Makes a socket and listens on it. The permissions of the path decide who may connect.
   *
   * @throws SystemError of `bind`: EADDRINUSE: the path exists, and is yours to remove; EACCES, ENOENT
   * @throws IommufdError ERR_IOMMUFD_NO_KERNEL_BACKEND: the addon is not there
   */
  static listen(path: string): UnixServer {
    return new UnixServer(check(addon().listenUnixSocket(path), "bind", { path }), path);
  }

  /**
   * The clients, until it is closed. A client that has gone meanwhile is passed over. While the process has no
   * descriptor left for a connection, it waits in the queue of the socket.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<UnixSocket, undefined> {
    while (!this.#closed) {
      const outcome = this.#native.accept();
      if (typeof outcome === "object") yield new UnixSocket(outcome);
      else if (outcome === -EAGAIN) await check(this.#native.readable(), "epoll_ctl");
      else if (TOO_MANY.has(-outcome)) await setTimeout(RETRY_MS);
      else if (outcome !== -constants.errno.ECONNABORTED) check(outcome, "accept");
    }
  }

  /** Stops listening and removes the path. Closing twice is harmless. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#native.close();
    try {
      unlinkSync(this.#path);
    } catch (error) {
      if (!isSystemError(error, "ENOENT")) throw error;
    }
  }

  /** {@link close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

const { EAGAIN } = constants.errno;

/** The errors of accept() if the process, or the machine, has no descriptor or memory left (accept(2)). */
const TOO_MANY = new Set([
  constants.errno.EMFILE,
  constants.errno.ENFILE,
  constants.errno.ENOBUFS,
  constants.errno.ENOMEM,
]);

/** Nothing reports when there is one again. */
const RETRY_MS = 100;

function closed(): IommufdError {
  return new IommufdError("ERR_IOMMUFD_CLOSED", "this UnixSocket is closed");
}

function addon(): ReturnType<typeof loadAddon> {
  try {
    return loadAddon();
  } catch (error) {
    throw new IommufdError(
      "ERR_IOMMUFD_NO_KERNEL_BACKEND",
      `sockets that carry descriptors need the addon: ${(error as Error).message}`,
      { cause: error },
    );
  }
}
