/** Results that come in pieces: they are made no faster than they are taken. */

import { afterEach, expect, it, vi } from "vitest";
import { printPieces } from "../../lib/cli/output.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

it("the next piece is made when standard output has room for it", async () => {
  const written: string[] = [];
  vi.spyOn(process.stdout, "write").mockImplementation((piece) => {
    written.push(String(piece));
    return piece === "first";
  });
  let made = 0;
  function* pieces() {
    for (const piece of ["first", "second", "third"]) {
      made++;
      yield piece;
    }
  }
  const printed = printPieces(pieces());
  await new Promise(setImmediate);
  expect([made, written]).toEqual([2, ["first", "second"]]);
  process.stdout.emit("drain");
  await new Promise(setImmediate);
  expect([made, written]).toEqual([3, ["first", "second", "third"]]);
  process.stdout.emit("drain");
  await printed;
  expect(written).toEqual(["first", "second", "third", "\n"]);
});
