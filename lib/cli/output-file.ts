/**
 * Files that the command writes (`--output`, `--html`), all of them here.
 *
 * Another user of the directory must not be able to turn this program against a file elsewhere. So names are never
 * followed: a new file is made under a random name, exclusively, and renamed. The libraries for whole files do not fit.
 * write-file-atomic 7 and atomically 2 follow a link at the target, open the unfinished file without O_EXCL and O_NOFOLLOW, and
 * set mode and owner by name.
 */

import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsync,
  lstatSync,
  openSync,
  renameSync,
  rmSync,
  type Stats,
  writeFile,
  writeFileSync,
} from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { promisify } from "node:util";
import { HeldDirectory, isForeign, Refusal } from "./held-directory.ts";

/** Descriptors of this process, by the names that shells and awk know. They are written to as they are, not opened. */
const DESCRIPTOR = /^\/(?:dev|proc\/self)\/fd\/(\d{1,9})$/;
const STANDARD = new Map([
  ["/dev/stdout", 1],
  ["/dev/stderr", 2],
]);

/** The signals that end a command from outside. Others (SIGKILL, a crash) leave an unfinished file behind. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Writes a file.
 *
 * - "-" is standard output.
 * - A file, or a free name, is written whole or not at all. The file first has another name, hidden from programs that
 *   read all of a directory (the collectors of node_exporter and of Node Feature Discovery). It is renamed when it is
 *   complete and on the disk. Mode and owner of a file that is replaced are kept, without set-user-ID and set-group-ID.
 * - A FIFO or a character device is written to. So is a descriptor of this process: /dev/stdout, /dev/stderr, /dev/fd/N.
 * - A link is refused, and so are a directory, a socket and a block device. Traps of other users are refused, too: a
 *   FIFO of another user, and a file of another user in a directory where everybody may make files (as Linux does, with
 *   fs.protected_regular).
 *
 * @throws Error it cannot be written, and why
 */
export async function writeOutput(file: string, content: string): Promise<void> {
  if (file === "-") return writeToDescriptor(1, content);
  try {
    const path = resolve(file);
    const descriptor = STANDARD.get(path) ?? DESCRIPTOR.exec(path)?.[1];
    if (descriptor !== undefined) return writeToDescriptor(Number(descriptor), content);
    if (file.endsWith("/") || basename(file) === "") throw new Refusal("it is a directory");
    // As the user wrote it: resolve() takes ".." for the directory before in the text, the kernel for where a link leads.
    using directory = new HeldDirectory(dirname(file));
    const name = directory.path(basename(file));
    const there = lstatSync(name, { throwIfNoEntry: false });
    if (there !== undefined) refuseForeign(there, directory);
    if (there === undefined || there.isFile()) await replace(directory, name, content, there);
    else writeThrough(name, content, there);
  } catch (error) {
    const { message } = error as Error;
    // The rest of the message names the unfinished file: "ENOSPC: no space left on device, write".
    const why = error instanceof Refusal ? message : message.split(", ")[0];
    throw new Error(`cannot write ${file}: ${why}`, { cause: error });
  }
}

function writeToDescriptor(descriptor: number, content: string): void {
  if (descriptor === 1) process.stdout.write(content);
  else if (descriptor === 2) process.stderr.write(content);
  else writeFileSync(descriptor, content);
}

/** Refuses what another user may have put there for us. */
function refuseForeign(there: Stats, directory: HeldDirectory): void {
  if (!isForeign(there)) return;
  if (there.isFIFO()) throw new Refusal(`it is a FIFO of another user (${there.uid})`);
  if (there.isFile() && directory.isShared && there.uid !== directory.stats.uid)
    throw new Refusal(
      `it belongs to another user (${there.uid}), in a directory where everybody may make files`,
    );
}

/** Puts a file in the place of what is there. */
async function replace(
  directory: HeldDirectory,
  name: string,
  content: string,
  there: Stats | undefined,
): Promise<void> {
  const unfinished = directory.path(`.iommufd-${randomBytes(12).toString("hex")}`);
  using _removed = removedOnSignal(unfinished);
  // Before the event loop turns, so that a signal finds it.
  const file = openSync(
    unfinished,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    there === undefined ? 0o666 : 0o600,
  );
  try {
    await promisify(writeFile)(file, content);
    if (there !== undefined) copyAccess(there, file);
    await promisify(fsync)(file);
    renameSync(unfinished, name);
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
}

/** Gives a file the owner and the mode of another. */
function copyAccess({ uid, gid, mode }: Stats, file: number): void {
  const own = fstatSync(file);
  try {
    if (own.uid !== uid || own.gid !== gid) fchownSync(file, uid, gid);
  } catch {
    throw new Refusal(
      `it belongs to user ${uid} and group ${gid}, which this user cannot keep; remove it first`,
    );
  }
  fchmodSync(file, mode & 0o777);
}

/**
 * Writes to something other than a file, which stays what it is. Somebody has to read from a FIFO; until then this
 * waits, as in a shell.
 */
function writeThrough(name: string, content: string, there: Stats): void {
  if (!isStream(there)) throw new Refusal(`it is ${kindOf(there)}`);
  const file = openSync(name, constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NOCTTY);
  try {
    // The name may lead to something else by now. Nothing has been written or cut yet.
    if (!isStream(fstatSync(file))) throw new Refusal("it was replaced meanwhile");
    writeFileSync(file, content);
  } finally {
    closeSync(file);
  }
}

function isStream(stats: Stats): boolean {
  return stats.isFIFO() || stats.isCharacterDevice();
}

function kindOf(stats: Stats): string {
  if (stats.isSymbolicLink()) return "a link; name the file that it leads to, or remove it";
  if (stats.isDirectory()) return "a directory";
  if (stats.isBlockDevice()) return "a block device";
  return "a socket";
}

/** Has a signal remove a file before it ends the program. */
function removedOnSignal(path: string): Disposable {
  const stop = () => {
    for (const signal of SIGNALS) process.off(signal, listener);
  };
  const listener = (signal: NodeJS.Signals) => {
    rmSync(path, { force: true });
    stop();
    process.kill(process.pid, signal);
  };
  for (const signal of SIGNALS) process.on(signal, listener);
  return { [Symbol.dispose]: stop };
}
