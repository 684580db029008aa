/** Exit codes of the command; one that a signal ended has 128 and the number of the signal. */
export const EXIT = { done: 0, failed: 1, usage: 2, no: 3 } as const;

/** Their meaning, for the help and the manual. */
export const EXIT_MEANINGS: readonly (readonly [code: number, meaning: string])[] = [
  [EXIT.done, "done"],
  [EXIT.failed, "the work failed"],
  [EXIT.usage, "the command line or the input was wrong"],
  [EXIT.no, "a check says no: check, doctor, and what --fail-on names"],
  [130, "interrupted by Ctrl-C; everything was undone"],
];
