/** The directory of a file that is written: it is opened once, and no link of another user leads to it. */

import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  openSync,
  readlinkSync,
  type Stats,
} from "node:fs";

/** Why a file is not written, where no system call says so. */
export class Refusal extends Error {}

/** Linux's O_PATH (include/uapi/asm-generic/fcntl.h), which Node.js does not name: the directory need not be readable. */
const O_PATH = 0o10000000;
const DIRECTORY = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** How many links are followed on the way, as Linux does (MAXSYMLINKS). */
const MOST_LINKS = 40;

/** Whether something belongs to a user other than this one and root. */
export function isForeign({ uid }: Stats): boolean {
  const me = process.geteuid?.();
  return me !== undefined && uid !== me && uid !== 0;
}

/**
 * A directory that is held by a descriptor: names are looked up in it, wherever its own path leads meanwhile. Node.js has no
 * openat(); on Linux /proc/self/fd/N/NAME is the same. Without /proc, and on other systems, the path is all there is.
 */
export class HeldDirectory implements Disposable {
  readonly #descriptor: number | undefined;
  readonly #path: string;

  /**
   * @throws Refusal a link on the way could be another user's
   * @throws SystemError it cannot be opened
   */
  constructor(path: string) {
    this.#path = path;
    if (process.platform !== "linux" || !existsSync("/proc/self/fd")) return;
    this.#descriptor = openStepwise(path);
    this.#path = held(this.#descriptor);
  }

  path(name: string): string {
    return `${this.#path}/${name}`;
  }

  /** Whether everybody may make files in it, and nobody remove those of others (/tmp). */
  get isShared(): boolean {
    return (this.stats.mode & 0o1000) !== 0 && (this.stats.mode & 0o022) !== 0;
  }

  get stats(): Stats {
    return this.#descriptor === undefined ? lstatSync(this.#path) : fstatSync(this.#descriptor);
  }

  [Symbol.dispose](): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
  }
}

function held(descriptor: number): string {
  return `/proc/self/fd/${descriptor}`;
}

/** Opens a directory one name after the other, each in the directory before. */
function openStepwise(path: string): number {
  const names = path.split("/");
  let directory = openSync(path.startsWith("/") ? "/" : ".", DIRECTORY);
  const go = (to: string) => {
    const next = openSync(to, DIRECTORY);
    closeSync(directory);
    directory = next;
  };
  try {
    for (let links = 0; names.length > 0; ) {
      const name = names.shift() ?? "";
      if (name === "" || name === ".") continue;
      const there = `${held(directory)}/${name}`;
      const stats = lstatSync(there);
      // A link that takes the place of a directory meanwhile is not followed (O_NOFOLLOW).
      if (!stats.isSymbolicLink()) {
        go(there);
        continue;
      }
      refuseForeignLink(name, stats, fstatSync(directory));
      if (++links > MOST_LINKS) throw new Refusal("ELOOP: too many symbolic links encountered");
      const target = readlinkSync(there);
      names.unshift(...target.split("/"));
      if (target.startsWith("/")) go("/");
    }
    return directory;
  } catch (error) {
    closeSync(directory);
    throw error;
  }
}

/** Follows no link that another user made, or may exchange for one. In a directory with the sticky bit nobody exchanges those of others. */
function refuseForeignLink(name: string, link: Stats, directory: Stats): void {
  const isOpen = (directory.mode & 0o1000) === 0 && (directory.mode & 0o002) !== 0;
  if (isForeign(link) || isForeign(directory) || isOpen)
    throw new Refusal(`${name}, on the way to it, is a link that another user may have made`);
}
