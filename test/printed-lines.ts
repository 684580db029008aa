/** Runs programs in the process of the test. */

import { vi } from "vitest";

/**
 * The lines that a program prints with console.log().
 *
 * @param run imports the program
 * @param words its arguments
 */
export async function printedLines(run: () => Promise<unknown>, ...words: string[]): Promise<unknown[]> {
  const { argv } = process;
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  process.argv = [...argv.slice(0, 2), ...words];
  try {
    await run();
    return log.mock.calls.flat();
  } finally {
    process.argv = argv;
    log.mockRestore();
  }
}
