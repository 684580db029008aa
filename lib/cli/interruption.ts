/** Ctrl-C, a signal to end, and a closed terminal: the command first undoes its work. */

import { constants } from "node:os";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Turns the first SIGINT, SIGTERM or SIGHUP into an abort; a second one ends the program at once. */
export class Interruption implements Disposable {
  readonly #controller = new AbortController();
  readonly #listener = (signal: NodeJS.Signals) => {
    this.#exitCode = 128 + constants.signals[signal];
    this.#controller.abort(new Error(`interrupted (${signal})`));
  };
  #exitCode: number | undefined;

  constructor() {
    for (const signal of SIGNALS) process.once(signal, this.#listener);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** 128 and the number of the signal; undefined where there was none. */
  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  [Symbol.dispose](): void {
    for (const signal of SIGNALS) process.off(signal, this.#listener);
  }
}
