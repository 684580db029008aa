/** Files for a suite, gone after it. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

/** A directory of this suite. */
export interface TemporaryFiles {
  readonly directory: string;
  /** Writes a file; gives its path. */
  file(name: string, content: string): string;
}

/** Makes a directory, which goes when the suite has run. */
export function temporaryFiles(): TemporaryFiles {
  const directory = mkdtempSync(join(tmpdir(), "iommufd-e2e-"));
  afterAll(() => rmSync(directory, { recursive: true }));
  return {
    directory,
    file(name, content) {
      const path = join(directory, name);
      writeFileSync(path, content);
      return path;
    },
  };
}
