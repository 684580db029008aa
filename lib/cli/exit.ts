/** Exit codes of the command; one that a signal ended has 128 and the number of the signal. */
export const EXIT = { done: 0, failed: 1, usage: 2, no: 3 } as const;
