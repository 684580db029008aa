/** Names of which a text has few and says many. */

/** Keeps each name once, and apart from the line that it was in: a piece of a line would keep the line, and what it was cut from. */
export class Names {
  readonly #known = new Map<string, string>();

  /** A name, as it is kept. */
  once(name: string): string {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const own = Buffer.from(name, "utf16le").toString("utf16le");
    this.#known.set(own, own);
    return own;
  }
}
