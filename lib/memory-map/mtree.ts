/**
 * Reads what QEMU's monitor prints for `info mtree -f`: the flat views of its address spaces
 * (system/memory.c, mtree_print_flatview).
 *
 * Captures come as they come: with a banner, echoed terminal escapes, CR LF and a prompt. What is not a flat view
 * is passed over; a line that is one, but cannot be read, is an error, so that nothing is left out in silence.
 */

import type { MemorySection, SectionType } from "../container/section.ts";
import { IommufdError } from "../errors.ts";

/** An address space that shows a flat view. */
export interface AddressSpace {
  /** "memory", "I/O", "vtd-root". */
  readonly name: string;
  /** Name of its root memory region. */
  readonly root: string;
}

/** A flat view, which several address spaces can share. */
export interface FlatView {
  /** Those that it is the view of. */
  readonly addressSpaces: readonly AddressSpace[];
  /** By address; empty where QEMU has rendered none. */
  readonly sections: readonly MemorySection[];
}

/** What QEMU's kinds mean; `nv-` before one says that it is non-volatile. */
const KINDS: Readonly<Record<string, { type: SectionType; readonly: boolean }>> = {
  ram: { type: "ram", readonly: false },
  // A read-only view, whatever backs it.
  rom: { type: "ram", readonly: true },
  ramd: { type: "ram-device", readonly: false },
  romd: { type: "other", readonly: false },
  "i/o": { type: "other", readonly: false },
  container: { type: "other", readonly: false },
};

/** The region whose misalignment QEMU knows to be harmless (hw/vfio/listener.c, vfio_known_safe_misalignment). */
const TPM_CRB_REGION = "tpm-crb-cmd";

/** Terminal control sequences (ECMA-48), as a monitor echoes them while one types. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])/g;

const PROMPT = "(qemu) ";
const VIEW = /^FlatView #\d+$/;
const ADDRESS_SPACE = /^ AS "(?<name>.*)", root: (?<root>.*)$/;
const SECTION =
  /^ {2}(?<start>[0-9a-f]{16})-(?<last>[0-9a-f]{16}) \(prio (?<priority>-?\d+), (?:nv-)?(?<kind>[^)]*)\): (?<region>.*?)(?: @(?<offset>[0-9a-f]{16}))?(?: (?:owner|parent):\{[^}]*\})*(?: KVM)?$/;
/** The longest line that can be a section, in characters: what follows a name takes time by the square of it. */
const LONGEST_SECTION = 4096;
const LOOKS_LIKE_SECTION = /^\s+[0-9a-f]{8,}-[0-9a-f]/;

/** Reads flat views line by line. */
export class FlatViewReader {
  readonly #source: string;
  readonly #wanted: string | undefined;
  readonly #views: FlatView[] = [];
  /** The address spaces of views that are not kept, by name. */
  readonly #others = new Map<string, AddressSpace>();
  #view: { addressSpaces: AddressSpace[]; sections: MemorySection[] } | undefined;
  #number = 0;
  /** The section before, of the same view. */
  #previous: MemorySection | undefined;
  #isBlank = true;
  #isTree = false;

  /**
   * @param source what to call the text in errors: a file name
   * @param wanted the address space whose views are kept, as {@link findFlatView} takes it, and of the others no more than
   *   their names; default: all
   */
  constructor(source: string, wanted?: string) {
    this.#source = source;
    this.#wanted = wanted;
  }

  /**
   * Reads the next line.
   *
   * @throws IommufdError ERR_IOMMUFD_INPUT with the line number: a section that cannot be read
   */
  push(raw: string): void {
    this.#number++;
    const line = withoutEcho(raw);
    if (this.#isBlank && line.trim() !== "") this.#isBlank = false;
    if (VIEW.test(line)) {
      this.#endView();
      this.#view = { addressSpaces: [], sections: [] };
      this.#previous = undefined;
      return;
    }
    const view = this.#view;
    if (view === undefined) {
      this.#isTree ||= line.startsWith("address-space: ");
      return;
    }
    const space = ADDRESS_SPACE.exec(line)?.groups as { name: string; root: string } | undefined;
    if (space !== undefined) {
      view.addressSpaces.push({ name: space.name, root: space.root });
    } else if (LOOKS_LIKE_SECTION.test(line)) {
      this.#previous = parseSection(line, this.#previous, `${this.#source}:${this.#number}`);
      if (this.#wanted === undefined || isOf(view, this.#wanted)) view.sections.push(this.#previous);
    }
  }

  /**
   * Ends the text.
   *
   * @throws IommufdError ERR_IOMMUFD_INPUT: there was no flat view in it
   */
  end(): FlatView[] {
    this.#endView();
    if (this.#others.size > 0) this.#views.push({ addressSpaces: [...this.#others.values()], sections: [] });
    if (this.#view !== undefined) return this.#views;
    throw new IommufdError("ERR_IOMMUFD_INPUT", `${this.#source}: ${this.#whyNone()}`);
  }

  #endView(): void {
    if (this.#view === undefined) return;
    if (this.#wanted === undefined || isOf(this.#view, this.#wanted)) this.#views.push(this.#view);
    else for (const space of this.#view.addressSpaces) this.#others.set(space.name, space);
  }

  #whyNone(): string {
    if (this.#isBlank) return "the input is empty";
    if (this.#isTree) return 'this is what "info mtree" prints; "info mtree -f" is needed (with -f)';
    return 'no flat view in it; it must be what QEMU\'s monitor prints for "info mtree -f", or a JSON section list';
  }
}

/**
 * Reads the flat views of a text.
 *
 * @param source what to call the text in errors: a file name
 * @throws IommufdError ERR_IOMMUFD_INPUT with the line number: there is none, or one that cannot be read
 */
export function parseFlatViews(text: string, source: string): FlatView[] {
  const reader = new FlatViewReader(source);
  for (const line of text.split("\n")) reader.push(line);
  return reader.end();
}

/**
 * The flat view of an address space.
 *
 * @param name its name; where several of that name differ, "NAME:ROOT" with the name of its root region
 * @throws IommufdError ERR_IOMMUFD_INPUT: there is none, and which there are
 */
export function findFlatView(views: readonly FlatView[], name: string, source: string): FlatView {
  const matches = views.filter((view) => isOf(view, name));
  const [first, second] = matches;
  if (first !== undefined && second === undefined) return first;
  const spaces = (first === undefined ? views : matches).flatMap(({ addressSpaces }) => addressSpaces);
  const there = [
    ...new Set(spaces.map((space) => (first === undefined ? space.name : `${space.name}:${space.root}`))),
  ];
  throw new IommufdError(
    "ERR_IOMMUFD_INPUT",
    first === undefined
      ? `${source}: no address space ${JSON.stringify(name)}; there are ${there.map((each) => JSON.stringify(each)).join(", ")}`
      : `${source}: several address spaces are called ${JSON.stringify(name)}; say which: ${there.map((each) => JSON.stringify(each)).join(", ")}`,
  );
}

/** A line without what a monitor and a terminal add to it. */
function withoutEcho(raw: string): string {
  // Most lines have nothing of it, and a look is faster than a replacement.
  let line = raw;
  if (line.includes("\r")) line = line.replaceAll("\r", "");
  if (line.includes("\u001b")) line = line.replace(ESCAPES, "");
  return line.startsWith(PROMPT) ? line.slice(PROMPT.length) : line;
}

/** Whether a view is of an address space, by its name or by "NAME:ROOT". */
function isOf({ addressSpaces }: Pick<FlatView, "addressSpaces">, name: string): boolean {
  return addressSpaces.some((space) => space.name === name || `${space.name}:${space.root}` === name);
}

function parseSection(line: string, previous: MemorySection | undefined, where: string): MemorySection {
  const fields = (line.length > LONGEST_SECTION ? undefined : SECTION.exec(line)?.groups) as
    | { start: string; last: string; kind: string; region: string; offset?: string }
    | undefined;
  if (fields === undefined) {
    throw new IommufdError(
      "ERR_IOMMUFD_INPUT",
      `${where}: this section cannot be read: ${JSON.stringify(line.trim().slice(0, 200))}`,
    );
  }
  const kind = Object.hasOwn(KINDS, fields.kind) ? KINDS[fields.kind] : undefined;
  if (kind === undefined) {
    throw new IommufdError(
      "ERR_IOMMUFD_INPUT",
      `${where}: unknown kind of memory ${JSON.stringify(fields.kind)}; known are ${Object.keys(KINDS).join(", ")}`,
    );
  }
  const start = BigInt(`0x${fields.start}`);
  const last = BigInt(`0x${fields.last}`);
  if (last < start)
    throw new IommufdError("ERR_IOMMUFD_INPUT", `${where}: the section ends before it starts`);
  if (previous !== undefined && start < previous.start + previous.size) {
    throw new IommufdError("ERR_IOMMUFD_INPUT", `${where}: the section overlaps the one before it`);
  }
  return {
    start,
    size: last - start + 1n,
    region: fields.region,
    offsetInRegion: fields.offset === undefined ? 0n : BigInt(`0x${fields.offset}`),
    ...kind,
    ...(fields.region === TPM_CRB_REGION && { misalignmentIsKnown: true }),
  };
}
