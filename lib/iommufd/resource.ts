/**
 * Ownership of kernel objects: who has to be closed before whom.
 */

import { checkInstance } from "../arguments.ts";
import { IommufdError, outOfRange } from "../errors.ts";

/**
 * Something that owns a kernel object.
 *
 * The object is `Disposable` (`using`). Everything made from it is closed first, the newest first. Closing twice is
 * harmless; anything else after closing throws ERR_IOMMUFD_CLOSED.
 */
export abstract class Resource implements Disposable {
  readonly #parents: readonly Resource[];
  readonly #children = new Set<Resource>();
  #closed = false;

  /** @param parents what it is made from: what is closed after it. None for what stands on its own. */
  constructor(...parents: Resource[]) {
    this.#parents = parents;
    for (const parent of parents) parent.#children.add(this);
  }

  /** Whether close() has been called, on this or on what it belongs to. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Gives the kernel object back, after those made from it. */
  close(): void {
    // With what everything was made from, everything goes; nothing has to be taken apart.
    this.#close(this.#parents.length === 0);
  }

  /** {@link close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Gives back the kernel object itself. If it throws, the object stays open.
   *
   * @param whole what everything was made from is being closed, so that the kernel drops this object by itself
   */
  protected abstract release(whole: boolean): void;

  /** @throws IommufdError ERR_IOMMUFD_CLOSED */
  protected assertOpen(): void {
    if (this.#closed) throw new IommufdError("ERR_IOMMUFD_CLOSED", `this ${this.constructor.name} is closed`);
  }

  /**
   * Checks an argument that is to be used together with this object. It must be of that class, open, and made from the
   * same iommufd.
   * Ids mean something only within one iommufd, and are given out again after closing: an id that slipped through
   * would name some other object.
   */
  protected checkPeer<Peer extends Resource>(
    peer: Peer,
    type: abstract new (...values: never[]) => Peer,
    name: string,
  ): Peer {
    checkInstance(peer, type, name).assertOpen();
    if (peer.#root() !== this.#root())
      throw outOfRange(name, "made from the same Iommufd", peer.constructor.name);
    return peer;
  }

  #close(whole: boolean): void {
    if (this.#closed) return;
    for (const child of [...this.#children].reverse()) child.#close(whole);
    this.release(whole);
    this.#closed = true;
    for (const parent of this.#parents) parent.#children.delete(this);
  }

  #root(): Resource {
    const [parent] = this.#parents;
    return parent === undefined ? this : parent.#root();
  }
}
