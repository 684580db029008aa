/**
 * Reads what QEMU's monitor prints for `info mtree -f`: the flat views of its address spaces
 * (system/memory.c, mtree_print_flatview).
 *
 * Captures come as they come: with a banner, echoed terminal escapes, CR LF and a prompt. Text around the flat views is
 * passed over. A line that is of one, but cannot be read, is an error, and so is a section that has lost its view.
 * Where
 * the text is not whole otherwise, every view says so ({@link FlatView.damage}).
 */

import { IommufdError } from "../errors.ts";
import { LIST_LIMIT, SECTION_LIMIT } from "../limits.ts";
import { linesOf } from "../lines.ts";
import type { MemorySection, SectionType } from "../section.ts";
import { Names } from "./names.ts";
import { RegionTypes } from "./region-types.ts";

/** An address space that shows a flat view. */
export interface AddressSpace {
  /** "memory", "I/O", "vtd-root". */
  readonly name: string;
  /** Name of its root memory region. */
  readonly root: string;
}

/** A flat view, which several address spaces can share. */
export interface FlatView {
  /** The address spaces that have this view. */
  readonly addressSpaces: readonly AddressSpace[];
  /** By address; empty where QEMU has rendered none. */
  readonly sections: readonly MemorySection[];
  /**
   * Evidence that the text is not all that QEMU printed, with the line: "guest.mtree:8: it ends within a flat view".
   * Undefined where nothing does.
   */
  readonly damage: string | undefined;
}

/** The meaning of QEMU's kinds; `nv-` before one says that it is non-volatile. */
const KINDS: Readonly<Record<string, { type: SectionType; readonly: boolean }>> = {
  ram: { type: "ram", readonly: false },
  // A read-only view, whatever backs it: region-types.ts.
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

const PROMPT = "(qemu)";
const VIEW_BEGINNING = "FlatView #";
const VIEW = /^FlatView #(?<number>\d+)$/;
const ADDRESS_SPACE = /^ AS "(?<name>.*)", root: (?<root>.*)$/;
const ROOT = " Root memory region: ";
/** The line in place of sections if there are none. */
const NOT_RENDERED = "  No rendered FlatView";
/** Text that `-d` adds below the sections. */
const DISPATCH = "  Dispatch";
/** How the trees of `info mtree` begin, which may follow. */
const TREE = /^(?:address-space|memory-region): /;
const OWNER = String.raw`(?<owner>(?: (?:owner|parent):\{[^}]*\}| orphan)*)`;
const RANGE = String.raw`(?<start>[0-9a-f]{16})-(?<last>[0-9a-f]{16}) \(prio (?<priority>-?\d+), (?:nv-)?(?<kind>[^)]*)\)`;
const SECTION = new RegExp(`^ {2}${RANGE}: (?<region>.*?)(?: @(?<offset>[0-9a-f]{16}))?${OWNER}(?: KVM)*$`);
/** A region of a tree; the target of an alias has a line of its own. */
const REGION = new RegExp(`^ {2,}${RANGE}: (?!alias )(?<region>.*?)(?: \\[disabled\\])?${OWNER}$`);
/** The longest line that can be a section, in characters. The pattern has quadratic backtracking behind a name. */
const LONGEST_SECTION = 4096;
/** How many names an error lists. */
const MOST_LISTED = 100;
const LOOKS_LIKE_SECTION = /^\s+[0-9a-f]{8,}-[0-9a-f]/;
/** A piece of one that cannot be of anything else. */
const PIECE_OF_SECTION = /\(prio -?\d+, [^)]*\): /;

/** A flat view that is being read. */
interface OpenView {
  readonly addressSpaces: AddressSpace[];
  readonly sections: MemorySection[];
  /** QEMU's text about the owner of a read-only section. */
  readonly owners: Map<MemorySection, string>;
  /** Whether any section has been read, kept or not, or that there is none. */
  isRendered: boolean;
}

/** Where in the text a line is: before the first flat view, in one, in what `-d` adds to it, after it, or in trees of regions. */
type Place = "before" | "view" | "dispatch" | "after" | "tree";

/** Reads flat views line by line. */
export class FlatViewReader {
  readonly #source: string;
  readonly #wanted: string | undefined;
  readonly #views: OpenView[] = [];
  /** The address spaces of views that are not kept, by name. */
  readonly #others = new Map<string, AddressSpace>();
  readonly #types = new RegionTypes();
  readonly #names = new Names();
  #place: Place = "before";
  #view: OpenView | undefined;
  /** QEMU's number of the view. */
  #viewNumber = -1;
  /** How many sections are kept, and how many address spaces with them. */
  #kept = 0;
  #addressSpaces = 0;
  /** Number of the line. */
  #number = 0;
  /** The last line. */
  #line = "";
  /** The section before, of the same view. */
  #previous: MemorySection | undefined;
  #isBlank = true;
  #looksEncoded = false;
  #damage: string | undefined;

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
   * @throws IommufdError ERR_IOMMUFD_INPUT with the line number: a section that cannot be read, or that is of no view
   */
  push(raw: string): void {
    this.#number++;
    const line = withoutEcho(raw);
    this.#line = line;
    const isEnd = line.trim() === "" || raw.startsWith(PROMPT);
    if (line.trim() !== "") this.#isBlank = false;
    const number = VIEW.exec(line)?.groups?.["number"];
    if (number !== undefined) this.#beginView(Number(number));
    else if (TREE.test(line)) this.#beginTree();
    else if (this.#place === "view") this.#readInView(line, isEnd);
    else if (this.#place === "tree") this.#readRegion(line);
    else if (this.#place === "dispatch") this.#place = isEnd ? "after" : "dispatch";
    else this.#readOutside(line);
  }

  /** Reads all lines of a text. */
  pushAll(lines: readonly string[]): void {
    // The rest after the last line end only looks like an empty line: it may be the beginning of one that was cut.
    const end = lines.at(-1)?.trim() === "" ? lines.length - 1 : lines.length;
    for (const line of lines.slice(0, end)) this.push(line);
  }

  /**
   * Ends the text.
   *
   * @throws IommufdError ERR_IOMMUFD_INPUT: there was no flat view in it
   */
  end(): FlatView[] {
    if (this.#view === undefined) throw this.#error(this.#whyNone());
    const isCutHeading = this.#line !== "" && VIEW_BEGINNING.startsWith(this.#line);
    if (this.#place === "view" || this.#place === "dispatch" || isCutHeading)
      this.#damaged("it ends within a flat view, which QEMU ends with an empty line");
    if (this.#place === "tree" && this.#line.trim() !== "")
      this.#damaged("it ends within a tree of regions, which QEMU ends with an empty line");
    this.#endView();
    const damage = this.#damage;
    const views: FlatView[] = this.#views.map(({ addressSpaces, sections, owners }) => ({
      addressSpaces,
      sections: sections.map((section) => {
        const owner = owners.get(section);
        return owner === undefined ? section : this.#types.resolve(section, owner);
      }),
      damage,
    }));
    if (this.#others.size > 0 || views.length === 0)
      views.push({ addressSpaces: [...this.#others.values()], sections: [], damage });
    return views;
  }

  #beginView(number: number): void {
    if (this.#place === "view" || this.#place === "dispatch")
      this.#damaged("a flat view begins here, and the one before has not ended with an empty line");
    // QEMU counts from 0; another capture may follow.
    if (number !== 0 && number !== this.#viewNumber + 1)
      this.#damaged(`the flat views before #${number} are missing`);
    this.#endView();
    this.#view = { addressSpaces: [], sections: [], owners: new Map(), isRendered: false };
    this.#viewNumber = number;
    this.#previous = undefined;
    this.#place = "view";
  }

  #beginTree(): void {
    if (this.#place === "view" || this.#place === "dispatch")
      this.#damaged(
        "a tree of regions begins here, and the flat view before has not ended with an empty line",
      );
    this.#place = "tree";
  }

  /** A line between the heading of a view and the empty line that ends it. */
  #readInView(line: string, isEnd: boolean): void {
    const view = this.#view as OpenView;
    if (isEnd) {
      if (!view.isRendered) this.#damaged("a flat view ends here, and has no section");
      this.#place = "after";
      return;
    }
    const space = ADDRESS_SPACE.exec(line)?.groups as { name: string; root: string } | undefined;
    if (space !== undefined) {
      this.#limit(view.addressSpaces.length, "address spaces", LIST_LIMIT);
      view.addressSpaces.push({ name: space.name, root: space.root });
    } else if (LOOKS_LIKE_SECTION.test(line)) {
      this.#readSection(line, view);
    } else if (line === NOT_RENDERED) {
      view.isRendered = true;
    } else if (line === DISPATCH) {
      this.#place = "dispatch";
    } else if (!line.startsWith(ROOT)) {
      this.#damaged(`within a flat view, this line does not belong to one: ${quote(line)}`);
    }
  }

  #readSection(line: string, view: OpenView): void {
    const isKept = this.#wanted === undefined || isOf(view, this.#wanted);
    const names = isKept ? this.#names : undefined;
    const { section, owner, kind } = parseSection(line, `${this.#source}:${this.#number}`, names);
    if (this.#previous !== undefined && section.start < this.#previous.start + this.#previous.size)
      throw this.#errorHere("the section overlaps the one before it");
    this.#previous = section;
    view.isRendered = true;
    if (kind !== "rom") this.#types.note(section.region, owner, section.type);
    if (!isKept) return;
    if (this.#wanted !== undefined) this.#limit(this.#kept++, "sections", SECTION_LIMIT);
    view.sections.push(section);
    if (section.readonly) view.owners.set(section, this.#names.once(owner));
  }

  /** A line of a tree of regions: where it says of a region what it is, that is kept. */
  #readRegion(line: string): void {
    const fields = (line.length > LONGEST_SECTION ? undefined : REGION.exec(line)?.groups) as
      | { kind: string; region: string; owner: string }
      | undefined;
    const type = fields === undefined ? undefined : kindOf(fields.kind)?.type;
    if (fields !== undefined && type !== undefined) this.#types.note(fields.region, fields.owner, type);
  }

  /** A line before the first view, or after one has ended. */
  #readOutside(line: string): void {
    const isOfView = PIECE_OF_SECTION.test(line) || ADDRESS_SPACE.test(line) || line.startsWith(ROOT);
    if (isOfView && this.#place === "after")
      throw this.#errorHere(
        `this is of a flat view whose heading is missing (or an empty line was added before it): ${quote(line)}`,
      );
    if (isOfView) this.#damaged("it begins within a flat view");
    this.#looksEncoded ||= /\0|\ufffd{2}/.test(line);
  }

  #endView(): void {
    if (this.#view === undefined) return;
    if (this.#wanted === undefined || isOf(this.#view, this.#wanted)) {
      this.#views.push(this.#view);
      this.#addressSpaces += this.#view.addressSpaces.length;
    } else {
      for (const space of this.#view.addressSpaces) this.#others.set(space.name, space);
    }
    if (this.#wanted !== undefined)
      this.#limit(Math.max(this.#addressSpaces, this.#others.size) - 1, "address spaces", LIST_LIMIT);
  }

  /** Notes that the text is not whole; the first that shows it is told. */
  #damaged(what: string): void {
    this.#damage ??= `${this.#source}:${this.#number}: ${what}`;
  }

  /** @throws IommufdError ERR_IOMMUFD_INPUT: there are too many to keep one more */
  #limit(count: number, what: string, most: number): void {
    if (count >= most) throw this.#errorHere(`there are more than ${most} ${what}, the most that is read`);
  }

  #whyNone(): string {
    if (this.#isBlank) return "the input is empty";
    if (this.#place === "tree")
      return 'this is what "info mtree" prints; "info mtree -f" is needed (with -f)';
    if (this.#looksEncoded)
      return "it was read as UTF-8, and is UTF-16; read it as that, or make it UTF-8: iconv -f UTF-16 -t UTF-8";
    if (this.#damage !== undefined)
      return 'it begins within a flat view, and has no whole one; all of what "info mtree -f" prints is needed';
    return 'no flat view in it; it must be what QEMU\'s monitor prints for "info mtree -f", or a JSON section list';
  }

  #errorHere(message: string): IommufdError {
    return new IommufdError("ERR_IOMMUFD_INPUT", `${this.#source}:${this.#number}: ${message}`);
  }

  #error(message: string): IommufdError {
    return new IommufdError("ERR_IOMMUFD_INPUT", `${this.#source}: ${message}`);
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
  reader.pushAll(linesOf(text));
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
  const damage = views[0]?.damage;
  const spaces = (first === undefined ? views : matches).flatMap(({ addressSpaces }) => addressSpaces);
  const there = [
    ...new Set(spaces.map((space) => (first === undefined ? space.name : `${space.name}:${space.root}`))),
  ];
  throw new IommufdError(
    "ERR_IOMMUFD_INPUT",
    first === undefined
      ? `${source}: no address space ${JSON.stringify(name)}; there are ${list(there)}${damage === undefined ? "" : `; and the text is not whole (${damage})`}`
      : `${source}: several address spaces are called ${JSON.stringify(name)}; say which: ${list(there)}`,
  );
}

/** Names for an error, as many as one reads. */
function list(names: readonly string[]): string {
  const some = names.slice(0, MOST_LISTED).map((each) => JSON.stringify(each));
  return `${some.join(", ") || "none"}${names.length > some.length ? ` and ${names.length - some.length} more` : ""}`;
}

/** A line without what a monitor, a terminal and an editor add to it. */
function withoutEcho(raw: string): string {
  // Most lines have nothing of it, and a look is faster than a replacement.
  let line = raw;
  if (line.startsWith("\ufeff")) line = line.slice(1);
  if (line.includes("\r")) line = line.replaceAll("\r", "");
  if (line.includes("\u001b")) line = line.replace(ESCAPES, "");
  return line.startsWith(`${PROMPT} `) ? line.slice(PROMPT.length + 1) : line;
}

/** Whether a view is of an address space, by its name or by "NAME:ROOT". */
function isOf({ addressSpaces }: Pick<FlatView, "addressSpaces">, name: string): boolean {
  return addressSpaces.some((space) => space.name === name || `${space.name}:${space.root}` === name);
}

function kindOf(name: string): (typeof KINDS)[string] | undefined {
  return Object.hasOwn(KINDS, name) ? KINDS[name] : undefined;
}

function quote(line: string): string {
  return JSON.stringify(line.trim().slice(0, 200));
}

function parseSection(
  line: string,
  where: string,
  names?: Names,
): { section: MemorySection; owner: string; kind: string } {
  const fields = (line.length > LONGEST_SECTION ? undefined : SECTION.exec(line)?.groups) as
    | { start: string; last: string; kind: string; region: string; owner: string; offset?: string }
    | undefined;
  if (fields === undefined)
    throw new IommufdError("ERR_IOMMUFD_INPUT", `${where}: this section cannot be read: ${quote(line)}`);
  const kind = kindOf(fields.kind);
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
  const section = {
    start,
    size: last - start + 1n,
    region: names?.once(fields.region) ?? fields.region,
    offsetInRegion: fields.offset === undefined ? 0n : BigInt(`0x${fields.offset}`),
    ...kind,
    ...(fields.region === TPM_CRB_REGION && { misalignmentIsKnown: true }),
  };
  return { section, owner: fields.owner, kind: fields.kind };
}
