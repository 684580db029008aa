/** The profiles that come with the package. */

import { readdirSync } from "node:fs";
import { basename } from "node:path";
import { PACKAGE } from "../../package.ts";

/** Where they are. */
export const SHIPPED = new URL("profiles/", PACKAGE);

/** The names of the profiles that ship with the package. */
export function shippedProfiles(): string[] {
  return readdirSync(SHIPPED)
    .filter((file) => file.endsWith(".json") && !file.endsWith(".schema.json"))
    .map((file) => basename(file, ".json"))
    .sort();
}
