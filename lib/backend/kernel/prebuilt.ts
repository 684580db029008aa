/** The addon that comes with the package, built beforehand (scripts/prebuild.sh). */

import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { PACKAGE } from "../../package.ts";

/**
 * Loads it, where there is one for this processor and C library. There are some for glibc; with musl it is built locally.
 *
 * @returns undefined where there is none
 * @throws Error with the loader's own explanation, where it does not fit this machine
 */
export function loadPrebuilt(): unknown {
  const require = createRequire(import.meta.url);
  // Here, and not at every start of programs that never ask the kernel.
  const { familySync } = require("detect-libc") as typeof import("detect-libc");
  const { platform, arch } = process;
  const path = fileURLToPath(new URL(`prebuilds/${platform}-${arch}-${familySync()}/iommufd.node`, PACKAGE));
  return existsSync(path) ? require(path) : undefined;
}
