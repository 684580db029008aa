/**
 * The objects of one iommufd. Ids are given out as in the kernel (XA_FLAGS_ALLOC1: the lowest free one, from 1). Each
 * object counts its users, which keep it from being destroyed.
 */

import { Refusal } from "./refusal.ts";

/** The common part of objects. */
export abstract class KernelObject {
  /** Its id; 0 until it is in a table. */
  id = 0;
  /** How many others refer to it. */
  users = 0;
  /**
   * Releases what it holds, when it is destroyed. It cannot refuse: nothing refers to it any more, and closing a descriptor,
   * which nobody answers for, destroys too.
   */
  abstract destroy(): void;
}

/** drivers/iommu/iommufd/main.c */
export class ObjectTable {
  readonly #objects = new Map<number, KernelObject>();

  [Symbol.iterator](): IterableIterator<KernelObject> {
    return this.#objects.values();
  }

  /** Whether there is none. */
  get empty(): boolean {
    return this.#objects.size === 0;
  }

  /** Gives an object the lowest free id. */
  add<Kind extends KernelObject>(object: Kind): Kind {
    let id = 1;
    while (this.#objects.has(id)) id++;
    object.id = id;
    this.#objects.set(id, object);
    return object;
  }

  /** The object with that id, of any kind. */
  find(id: number): KernelObject | undefined {
    return this.#objects.get(id);
  }

  /** iommufd_get_object(): the object with that id, of that kind; ENOENT where there is none. */
  get<Kind extends KernelObject>(id: number, kind: abstract new (...values: never[]) => Kind): Kind {
    const object = this.#objects.get(id);
    if (!(object instanceof kind)) throw new Refusal("ENOENT");
    return object;
  }

  /** Removes an object that nothing refers to any more, and lets it release what it holds. */
  remove(object: KernelObject): void {
    this.#objects.delete(object.id);
    object.destroy();
  }

  /**
   * iommufd_fops_release(): all that nothing refers to, and then what only those referred to, until there is none. An
   * object with an owner is kept: its owner has the descriptor that is closed last.
   */
  destroyAll(): void {
    for (let destroyed = true; destroyed; ) {
      destroyed = false;
      for (const object of [...this.#objects.values()].sort((a, b) => a.id - b.id)) {
        if (object.users > 0) continue;
        this.remove(object);
        destroyed = true;
      }
    }
  }

  /** IOMMU_DESTROY: ENOENT where there is none, EBUSY where others refer to it. */
  destroy(id: number): void {
    const object = this.#objects.get(id);
    if (object === undefined) throw new Refusal("ENOENT");
    if (object.users > 0) throw new Refusal("EBUSY");
    this.remove(object);
  }
}
