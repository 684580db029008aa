/**
 * The order in which calls that map and unmap are entered in the books.
 */

import type { IovaRange } from "../uapi.ts";

/** The effect of a call on a range of IOVAs of an address space. */
export interface Access extends IovaRange {
  /** The books of the address space. */
  readonly of: object;
  readonly kind: "maps" | "reads" | "unmaps";
}

/** The accesses of a call. They are asked for only if another call is under way, because a call can have thousands of ranges. */
type Accesses = () => readonly Access[];

class Call {
  readonly #find: Accesses | "everything";
  #accesses: readonly Access[] | undefined;
  /** Its change in the books; undefined while it runs. */
  enter: (() => void) | undefined;

  constructor(accesses: Accesses | "everything") {
    this.#find = accesses;
  }

  /** Undefined: whatever there is. */
  get accesses(): readonly Access[] | undefined {
    if (this.#find !== "everything") this.#accesses ??= this.#find();
    return this.#accesses;
  }
}

/** Books in which something is left to be found out. */
export interface Unsure {
  findOut(): void;
}

/**
 * The calls of one iommufd that are not in the books yet, in the order in which they were made.
 *
 * The kernel sees those of them that conflict in that order (native/mapping_order.h). JavaScript does not hear of them in that
 * order: a synchronous call may return before the promise of an earlier one on the pool is settled. So a call is entered in the
 * books when it has settled and all earlier calls that conflict with it have been entered. Until then the books have what was
 * before it, and it holds the memory that it maps. So never less is held than is mapped, and with no call under way
 * exactly that.
 */
export class MappingCalls {
  readonly #calls = new Set<Call>();
  /** Calls that are done. */
  readonly #settled = new Set<Call>();
  readonly #unsure = new Set<Unsure>();

  /**
   * Makes a call that takes its time.
   *
   * @param accesses what it does, whenever it is asked for
   * @param call the call
   * @param done enters it in the books
   * @param refused enters it in the books where it is refused
   */
  async run<Answer>(
    accesses: Accesses,
    call: () => Promise<Answer>,
    done: (answer: Answer) => void = () => {},
    refused: () => void = () => {},
  ): Promise<Answer> {
    const entry = new Call(accesses);
    this.#calls.add(entry);
    let answer: Answer;
    try {
      answer = await call();
    } catch (error) {
      this.#settle(entry, refused);
      throw error;
    }
    this.#settle(entry, () => done(answer));
    return answer;
  }

  /** Makes a call on this thread; as {@link run}. */
  runSync<Answer>(
    accesses: Accesses,
    call: () => Answer,
    done: (answer: Answer) => void,
    refused: () => void = () => {},
  ): Answer {
    let answer: Answer;
    try {
      answer = call();
    } catch (error) {
      this.enter(accesses, refused);
      throw error;
    }
    this.enter(accesses, () => done(answer));
    return answer;
  }

  /** Enters a call that has just been made, or closing of everything, which conflicts with all. */
  enter(accesses: Accesses | "everything", enter: () => void): void {
    if (this.#calls.size === 0) {
      enter();
      this.#findOut();
      return;
    }
    const entry = new Call(accesses);
    this.#calls.add(entry);
    this.#settle(entry, enter);
  }

  /** Whether no call is under way, so that one that was made on this thread can be entered at once. */
  get none(): boolean {
    return this.#calls.size === 0;
  }

  /** Has books find out what they are unsure of, as soon as no call is under way. */
  unsure(books: Unsure): void {
    this.#unsure.add(books);
  }

  #settle(settled: Call, enter: () => void): void {
    settled.enter = enter;
    this.#settled.add(settled);
    // One that is entered may be what others wait for, which were made later and are done.
    for (let entered = true; entered; ) {
      entered = false;
      for (const call of this.#settled) {
        if (this.#waits(call)) continue;
        this.#settled.delete(call);
        this.#calls.delete(call);
        call.enter?.();
        entered = true;
      }
    }
    this.#findOut();
  }

  /**
   * Whether a call before it conflicts with it. There are few of them: the pool handles calls in order, a few at a
   * time.
   */
  #waits(call: Call): boolean {
    for (const earlier of this.#calls) {
      if (earlier === call) return false;
      if (conflict(earlier, call)) return true;
    }
    return false;
  }

  #findOut(): void {
    if (this.#calls.size > 0 || this.#unsure.size === 0) return;
    const unsure = [...this.#unsure];
    this.#unsure.clear();
    for (const books of unsure) books.findOut();
  }
}

/** As native/mapping_order.cc has it. */
function conflict({ accesses: some }: Call, { accesses: others }: Call): boolean {
  if (some === undefined || others === undefined) return true;
  return some.some((one) =>
    others.some(
      (other) =>
        one.of === other.of &&
        one.start <= other.last &&
        other.start <= one.last &&
        (one.kind !== other.kind || one.kind === "unmaps"),
    ),
  );
}
