/** Lists the open descriptors and the mappings of a process, to find leaks. */

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout } from "node:timers/promises";

/** How long what has ended may take to let go, in milliseconds. */
const PATIENCE_MS = 5000;

/**
 * The target of each descriptor: "anon_inode:[eventfd]", "/dev/null"; sockets and pipes without their numbers. Not
 * modules, nor Node.js itself: it leaves one open where a worker ends while it is read.
 */
function descriptors() {
  const links = [];
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      const link = readlinkSync(`/proc/self/fd/${fd}`).replace(/:\[\d+\]$/, "");
      if (!link.endsWith(".js") && link !== process.execPath) links.push(link);
    } catch {
      // That of the listing itself.
    }
  }
  return links.sort();
}

/** The mappings of memory of the addon, and of the file that plays the device's region. */
function mappings() {
  return readFileSync("/proc/self/maps", "utf8")
    .split("\n")
    .filter((line) => /memfd:iommufd|attack-region/.test(line));
}

/** How many there are of each. */
function count(items) {
  const counts = new Map();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
}

/** The open descriptors now, to compare with later. */
export function census() {
  return count(descriptors());
}

/**
 * Collects until nothing is open that was not before, and nothing is mapped.
 *
 * @param {Map<string, number>} before
 * @param {number} moved how many mappings may stay
 * @returns {Promise<string[]>} what stays nevertheless, one line for each
 */
export async function leftovers(before, moved) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    globalThis.gc?.();
    await setTimeout(20);
    const more = [...census()].filter(([link, number]) => number > (before.get(link) ?? 0));
    const mapped = mappings();
    const found = [
      ...more.map(([link, number]) => `open: ${number} of ${link}, ${before.get(link) ?? 0} before`),
      ...(mapped.length > moved ? mapped.map((line) => `mapped: ${line}`) : []),
    ];
    if (found.length === 0 || Date.now() > deadline) return found;
  }
}
