/** Memory is held exactly while it is mapped, in whatever order calls are made and end. */

import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type DmaMemory, type Ioas, type Iommufd, isSystemError } from "../../lib/index.ts";
import { backendName, laterThan, open, PAGE } from "./backend.ts";
import { type Extent, Oracle } from "./mapping-oracle.ts";

const code = (code: string) => expect.objectContaining({ code });

let iommufd: Iommufd;
let ioas: Ioas;

beforeEach(() => {
  iommufd = open();
  ioas = iommufd.allocIoas();
});

afterEach(() => iommufd.close());

describe(`memory that is mapped, and calls that overtake each other (${backendName})`, () => {
  it("is held from a mapping made while what was there is being unmapped", async () => {
    const before = iommufd.allocMemory(PAGE);
    const after = iommufd.allocMemory(PAGE);
    ioas.mapSync(before, { iova: PAGE });
    const unmapping = ioas.unmap(PAGE, PAGE);
    ioas.mapSync(after, { iova: PAGE });
    expect(await unmapping).toBe(PAGE);
    expect([before.mappings, after.mappings]).toEqual([0, 1]);
    before.close();
    expect(() => after.close()).toThrow(code("ERR_IOMMUFD_MEMORY_IN_USE"));
  });

  it("is let go of where it is unmapped before its mapping is heard of", async () => {
    const memory = iommufd.allocMemory(PAGE);
    const mapping = ioas.map(memory, { iova: PAGE });
    expect(ioas.unmapSync(PAGE, PAGE)).toBe(PAGE);
    await mapping;
    expect(memory.mappings).toBe(0);
    memory.close();
  });

  it("is let go of with its address space, whose id another gets", async () => {
    const memory = iommufd.allocMemory(PAGE);
    const mappings = Array.from({ length: 64 }, (_, i) => ioas.map(memory, { iova: BigInt(i) * PAGE }));
    ioas.close();
    const other = iommufd.allocIoas();
    await Promise.all(mappings);
    expect(memory.mappings).toBe(0);
    expect(() => other.unmapSync(0n, 64n * PAGE)).toThrow(code("ENOENT"));
  });

  it("is held until the last call ends where the iommufd is closed meanwhile", async () => {
    const memory = iommufd.allocMemory(PAGE);
    ioas.mapSync(memory, { iova: PAGE });
    const other = iommufd.allocIoas();
    const late = iommufd.allocMemory(PAGE);
    const mapping = other.map(late).catch(() => {});
    iommufd.close();
    expect([memory.mappings, late.mappings]).toEqual([1, 1]);
    await mapping;
    expect([memory.mappings, late.mappings]).toEqual([0, 0]);
  });

  it("is held as far as the kernel did not unmap it before it refused", async () => {
    const memories = [0, 1, 2].map(() => iommufd.allocMemory(2n * PAGE));
    const [first, straddling, behind] = memories as [DmaMemory, DmaMemory, DmaMemory];
    const held = () => memories.map(({ mappings }) => mappings);
    for (const unmap of [ioas.unmapSync.bind(ioas), ioas.unmap.bind(ioas)]) {
      ioas.mapSync(first, { iova: 2n * PAGE });
      if (straddling.mappings === 0) ioas.mapSync(straddling, { iova: 4n * PAGE });
      if (behind.mappings === 0) ioas.mapSync(behind, { iova: 6n * PAGE });
      await expect((async () => unmap(2n * PAGE, 3n * PAGE))()).rejects.toEqual(code("ENOENT"));
      expect(held()).toEqual([0, 1, 1]);
      await expect((async () => unmap(5n * PAGE, 3n * PAGE))()).rejects.toEqual(code("ENOENT"));
      expect(held()).toEqual([0, 1, 1]);
    }
  });

  it("is held by the parts of a copy, each on its own", () => {
    const memories = [iommufd.allocMemory(PAGE), iommufd.allocMemory(PAGE)] as const;
    for (const [i, memory] of memories.entries()) ioas.mapSync(memory, { iova: BigInt(i) * PAGE });
    const other = iommufd.allocIoas();
    other.copyFromSync(ioas, { sourceIova: 0n, length: 2n * PAGE, iova: 8n * PAGE });
    ioas.unmapSync(0n, 2n * PAGE);
    other.unmapSync(8n * PAGE, PAGE);
    memories[0].close();
    expect(() => memories[1].close()).toThrow(code("ERR_IOMMUFD_MEMORY_IN_USE"));
  });

  it("is let go of at the end of the address space too", () => {
    const memory = iommufd.allocMemory(PAGE);
    ioas.mapSync(memory, { iova: (1n << 64n) - PAGE });
    expect(ioas.unmapSync(0n, (1n << 64n) - 1n)).toBe(PAGE);
    memory.close();
  });
});

type Answer = { value: bigint | undefined } | { error: unknown };

/** A call that was made, to be applied to the oracle in its turn. */
interface Made {
  readonly answer: Promise<Answer>;
  readonly apply: (answer: Answer) => void;
}

const SLOTS = 8;
const slot = fc.integer({ min: 1, max: SLOTS });
const pages = fc.integer({ min: 1, max: 3 });
const which = fc.integer({ min: 0, max: 1 });
const memory = fc.integer({ min: 0, max: 2 });
const sync = fc.boolean();
const at = fc.option(slot, { nil: undefined });
const slots = fc.uniqueArray(slot, { minLength: 1, maxLength: 4 });

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("map"), which, memory, at, pages, sync, file: fc.boolean() }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("unmap"), which, first: slot, pages, sync }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("mapMany"), which, memory, slots, rollBack: fc.boolean(), sync }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("unmapMany"), which, slots, sync }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("copy"), which, source: which, first: slot, pages, at, sync }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("unmapAll"), which, sync }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("close"), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("settle") }) },
) as fc.Arbitrary<Step>;

type Step =
  | {
      do: "map";
      which: number;
      memory: number;
      at: number | undefined;
      pages: number;
      sync: boolean;
      file: boolean;
    }
  | { do: "unmap"; which: number; first: number; pages: number; sync: boolean }
  | { do: "mapMany"; which: number; memory: number; slots: number[]; rollBack: boolean; sync: boolean }
  | { do: "unmapMany"; which: number; slots: number[]; sync: boolean }
  | {
      do: "copy";
      which: number;
      source: number;
      first: number;
      pages: number;
      at: number | undefined;
      sync: boolean;
    }
  | { do: "unmapAll"; which: number; sync: boolean }
  | { do: "close"; which: number }
  | { do: "settle" };

const bytes = (count: number) => BigInt(count) * PAGE;
const values = (numbers: number[]) => BigUint64Array.from(numbers, bytes);

/** Address spaces and memories, and what they have to be. */
class Run {
  readonly #iommufd = open();
  readonly #spaces: { ioas: Ioas; oracle: Oracle }[];
  readonly #memories: DmaMemory[];
  #made: Made[] = [];

  constructor() {
    this.#spaces = [0, 1].map(() => ({ ioas: this.#iommufd.allocIoas(), oracle: new Oracle() }));
    this.#memories = [0, 1, 2].map(() => this.#iommufd.allocMemory(bytes(4)));
  }

  async do(step: Step): Promise<void> {
    if (step.do === "settle") return this.settle();
    const { ioas, oracle } = this.#spaces[step.which] as { ioas: Ioas; oracle: Oracle };
    switch (step.do) {
      case "close": {
        ioas.close();
        this.#spaces[step.which] = { ioas: this.#iommufd.allocIoas(), oracle: new Oracle() };
        // Calls in flight there apply to something that is gone.
        this.#closed.push(oracle);
        return this.#call(
          () => undefined,
          true,
          () => oracle.areas.splice(0),
        );
      }
      case "map": {
        const memory = this.#memories[step.memory] as DmaMemory;
        const options = {
          iova: step.at === undefined ? undefined : bytes(step.at),
          length: bytes(step.pages),
        };
        const call =
          step.file && laterThan(6, 12)
            ? () => (step.sync ? ioas.mapFileSync(memory, options) : ioas.mapFile(memory, options))
            : () => (step.sync ? ioas.mapSync(memory, options) : ioas.map(memory, options));
        return this.#call(
          call,
          step.sync,
          (answer) => {
            if ("error" in answer)
              return this.#collided(oracle, answer.error, { first: step.at ?? 0, pages: step.pages });
            oracle.map({ first: Number((answer.value as bigint) / PAGE), pages: step.pages, memory });
          },
          (answer) => oracle.recent.push({ first: Number(answer / PAGE), pages: step.pages }),
        );
      }
      case "copy": {
        const source = this.#spaces[step.source] as { ioas: Ioas; oracle: Oracle };
        const options = {
          sourceIova: bytes(step.first),
          length: bytes(step.pages),
          iova: step.at === undefined ? undefined : bytes(step.at),
        };
        const call = () =>
          step.sync ? ioas.copyFromSync(source.ioas, options) : ioas.copyFrom(source.ioas, options);
        return this.#call(
          call,
          step.sync,
          (answer) => {
            const parts = source.oracle.parts(step.first, step.pages);
            if ("error" in answer) {
              if (parts === undefined) expect(answer.error).toEqual(code("ENOENT"));
              else this.#collided(oracle, answer.error, { first: step.at ?? 0, pages: step.pages });
              return;
            }
            expect(parts).toBeDefined();
            const first = Number((answer.value as bigint) / PAGE);
            for (const part of parts ?? []) oracle.map({ ...part, first: first + part.first - step.first });
          },
          (answer) => oracle.recent.push({ first: Number(answer / PAGE), pages: step.pages }),
        );
      }
      case "unmap":
      case "unmapAll": {
        const [iova, length] =
          step.do === "unmap" ? [bytes(step.first), bytes(step.pages)] : [0n, (1n << 64n) - 1n];
        const call = () => (step.sync ? ioas.unmapSync(iova, length) : ioas.unmap(iova, length));
        return this.#call(call, step.sync, (answer) => {
          const first = step.do === "unmap" ? step.first : 0;
          const unmapped = oracle.unmap(first, step.do === "unmap" ? step.pages : Number.MAX_SAFE_INTEGER);
          if ("error" in answer) {
            expect(answer.error).toEqual(code("ENOENT"));
            expect(unmapped).toBeUndefined();
          } else expect(answer.value).toBe(bytes(unmapped ?? 0));
        });
      }
      case "mapMany": {
        const memory = this.#memories[step.memory] as DmaMemory;
        const ranges = {
          iovas: values(step.slots),
          lengths: values(step.slots.map(() => 1)),
          offsets: values(step.slots.map((_, i) => i)),
        };
        const options = { rollBack: step.rollBack };
        const call = () =>
          step.sync ? ioas.mapManySync(memory, ranges, options) : ioas.mapMany(memory, ranges, options);
        const mapped = (answer: Answer) =>
          "error" in answer
            ? (answer.error as { request: { index: number } }).request.index
            : step.slots.length;
        return this.#call(
          call as () => undefined,
          step.sync,
          (answer) => {
            if ("error" in answer)
              this.#collided(oracle, answer.error, { first: step.slots[mapped(answer)] as number, pages: 1 });
            if ("error" in answer && step.rollBack) return;
            for (const first of step.slots.slice(0, mapped(answer))) oracle.map({ first, pages: 1, memory });
          },
          undefined,
          (answer) => {
            if ("error" in answer && step.rollBack) return;
            for (const first of step.slots.slice(0, mapped(answer))) oracle.recent.push({ first, pages: 1 });
          },
        );
      }
      case "unmapMany": {
        const ranges = { iovas: values(step.slots), lengths: values(step.slots.map(() => 1)) };
        const call = () => (step.sync ? ioas.unmapManySync(ranges) : ioas.unmapMany(ranges));
        return this.#call(call as () => undefined, step.sync, (answer) => {
          const refused = step.slots.findIndex((first) => oracle.unmap(first, 1) === undefined);
          if (refused < 0) expect(answer).not.toHaveProperty("error");
          else expect(answer).toMatchObject({ error: { code: "ENOENT", request: { index: refused } } });
        });
      }
    }
  }

  readonly #closed: Oracle[] = [];

  /** Waits for all that is under way; then what is held has to be what is mapped. */
  async settle(): Promise<void> {
    const made = this.#made;
    this.#made = [];
    const answers = await Promise.all(made.map(({ answer }) => answer));
    for (const [index, { apply }] of made.entries()) apply(answers[index] as Answer);
    const areas = this.#spaces.flatMap(({ oracle }) => oracle.areas);
    for (const { oracle } of this.#spaces) oracle.recent = [];
    for (const oracle of this.#closed.splice(0)) expect(oracle.areas).toEqual([]);
    for (const [index, memory] of this.#memories.entries()) {
      const count = areas.filter((area) => area.memory === memory).length;
      expect(memory.mappings).toBe(count);
      if (count > 0) expect(() => memory.close()).toThrow(code("ERR_IOMMUFD_MEMORY_IN_USE"));
      else {
        memory.close();
        this.#memories[index] = this.#iommufd.allocMemory(bytes(4));
      }
    }
  }

  async end(): Promise<void> {
    await this.settle();
    this.#iommufd.close();
    for (const memory of this.#memories) memory.close();
  }

  /** Makes a call, which is applied to the oracle later, in its turn. */
  #call(
    call: () => bigint | Promise<bigint> | undefined,
    sync: boolean,
    apply: (answer: Answer) => void,
    mapped: (iova: bigint) => void = () => {},
    answered: (answer: Answer) => void = (answer) => {
      if ("value" in answer && answer.value !== undefined) mapped(answer.value);
    },
  ): void {
    let made: Promise<Answer>;
    try {
      const result = call();
      if (sync) expect(result).not.toBeInstanceOf(Promise);
      made = Promise.resolve(result).then(
        (value) => ({ value }),
        (error: unknown) => ({ error }),
      );
    } catch (error) {
      made = Promise.resolve({ error });
    }
    const answer = made.then((answer) => {
      answered(answer);
      return answer;
    });
    this.#made.push({ answer, apply });
  }

  #collided(oracle: Oracle, error: unknown, range: Extent): void {
    if (!isSystemError(error, "EEXIST")) throw error;
    expect(oracle.canCollide(range)).toBe(true);
  }
}

describe(`what is held (${backendName})`, () => {
  it("is what is mapped, whatever calls are made without waiting for those before", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const run = new Run();
        for (const each of steps) await run.do(each);
        await run.end();
      }),
      { numRuns: Number(process.env["IOMMUFD_TEST_RUNS"] ?? 200) },
    );
  });
});
