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
import type { MemorySection } from "../section.ts";
import { Names } from "./names.ts";
import { RegionTypes } from "./region-types.ts";
import { parseRegion, parseSection, quote } from "./section-line.ts";

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

/** Terminal control sequences (ECMA-48), as a monitor echoes them while one types. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])/g;

const PROMPT = "(qemu)";
const PROMPT_AND_SPACE = `${PROMPT} `;
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
  /** Whether its sections are kept. */
  isWanted: boolean;
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
  /** The last address of the section before, of the same view. */
  #reach = -1n;
  #isBlank = true;
  #looksEncoded = false;
  #damage: string | undefined;
  readonly #errorHere = (message: string) =>
    new IommufdError("ERR_IOMMUFD_INPUT", `${this.#source}:${this.#number}: ${message}`);

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
    const isPrompt = raw.startsWith(PROMPT);
    // Most lines are like that, and none of the others is.
    if (this.#place === "view" && !isPrompt && LOOKS_LIKE_SECTION.test(line)) {
      this.#readSection(line, this.#view as OpenView);
      return;
    }
    const isBlank = line.trim() === "";
    const isEnd = isBlank || isPrompt;
    if (!isBlank) this.#isBlank = false;
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
      sections: owners.size === 0 ? sections : sections.map((section) => this.#resolve(section, owners)),
      damage,
    }));
    if (this.#others.size > 0 || views.length === 0)
      views.push({ addressSpaces: [...this.#others.values()], sections: [], damage });
    return views;
  }

  #resolve(section: MemorySection, owners: OpenView["owners"]): MemorySection {
    const owner = owners.get(section);
    return owner === undefined ? section : this.#types.resolve(section, owner);
  }

  #beginView(number: number): void {
    if (this.#place === "view" || this.#place === "dispatch")
      this.#damaged("a flat view begins here, and the one before has not ended with an empty line");
    // QEMU counts from 0; another capture may follow.
    if (number !== 0 && number !== this.#viewNumber + 1)
      this.#damaged(`the flat views before #${number} are missing`);
    this.#endView();
    const isWanted = this.#wanted === undefined;
    this.#view = { addressSpaces: [], sections: [], owners: new Map(), isWanted, isRendered: false };
    this.#viewNumber = number;
    this.#reach = -1n;
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
      view.isWanted ||= this.#wanted !== undefined && isCalled(space, this.#wanted);
    } else if (line === NOT_RENDERED) {
      view.isRendered = true;
    } else if (line === DISPATCH) {
      this.#place = "dispatch";
    } else if (!line.startsWith(ROOT)) {
      this.#damaged(`within a flat view, this line does not belong to one: ${quote(line)}`);
    }
  }

  #readSection(line: string, view: OpenView): void {
    const names = view.isWanted ? this.#names : undefined;
    const { section, last, owner, isRom } = parseSection(line, names, this.#errorHere);
    if (section.start <= this.#reach) throw this.#errorHere("the section overlaps the one before it");
    this.#reach = last;
    view.isRendered = true;
    if (!isRom) this.#types.note(section.region, owner, section.type);
    if (!view.isWanted) return;
    if (this.#wanted !== undefined) this.#limit(this.#kept++, "sections", SECTION_LIMIT);
    view.sections.push(section);
    if (section.readonly) view.owners.set(section, this.#names.once(owner));
  }

  /** A line of a tree of regions: where it says of a region what it is, that is kept. */
  #readRegion(line: string): void {
    const found = parseRegion(line);
    if (found !== undefined) this.#types.note(found.region, found.owner, found.type);
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
    if (this.#view.isWanted) {
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
  return line.startsWith(PROMPT_AND_SPACE) ? line.slice(PROMPT_AND_SPACE.length) : line;
}

/** Whether a view is of an address space, by its name or by "NAME:ROOT". */
function isOf({ addressSpaces }: Pick<FlatView, "addressSpaces">, name: string): boolean {
  return addressSpaces.some((space) => isCalled(space, name));
}

function isCalled(space: AddressSpace, name: string): boolean {
  return space.name === name || `${space.name}:${space.root}` === name;
}
