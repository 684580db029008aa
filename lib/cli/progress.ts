/** A progress bar on a terminal, and none elsewhere. */

import { SingleBar } from "cli-progress";

/** Shows how far something is, in per cent, on standard error. */
export class Progress implements Disposable {
  readonly #bar: SingleBar | undefined;

  constructor(label: string, { quiet = false }: { quiet?: boolean | undefined } = {}) {
    if (quiet || !process.stderr.isTTY) return;
    this.#bar = new SingleBar({
      format: `${label} {bar} {percentage}%`,
      stream: process.stderr,
      clearOnComplete: true,
      hideCursor: true,
    });
    this.#bar.start(100, 0);
  }

  update(done: bigint, total: bigint): void {
    this.#bar?.update(total === 0n ? 100 : Number((done * 100n) / total));
  }

  [Symbol.dispose](): void {
    this.#bar?.stop();
  }
}
