/** Where the package is, whichever of its files this is: a module in lib or dist, or a part of a bundle. */

import { existsSync } from "node:fs";

/** The directory that has its package.json. */
export const PACKAGE: URL = rootFrom(new URL(".", import.meta.url));

function rootFrom(directory: URL): URL {
  if (existsSync(new URL("package.json", directory))) return directory;
  const above = new URL("..", directory);
  if (above.href === directory.href) throw new Error(`iommufd: ${import.meta.url} is in no package`);
  return rootFrom(above);
}
