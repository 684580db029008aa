/** A value that is made at its first use. A program that never uses it does not wait for it. */

import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/** Zod, which takes longer to load than all of this library. */
type Zod = typeof import("zod").z;

/** Makes a value at the first call, and gives the same value at each later one. */
function lazily<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/** The schema of a document. Zod is loaded, and the schema made, when the first document is read. */
export function schema<Schema>(make: (z: Zod) => Schema): () => Schema {
  return lazily(() => make((require("zod") as typeof import("zod")).z));
}

/** Momoa, which says where in a document something is. */
export const momoa = lazily(() => require("@humanwhocodes/momoa") as typeof import("@humanwhocodes/momoa"));

/** How many columns of a terminal a text takes. The tables of Unicode take a while to load. */
export const stringWidth = lazily(() => (require("string-width") as typeof import("string-width")).default);
