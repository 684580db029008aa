/** How a program wants a controller to be driven. */

/** How a controller is driven. */
export interface ControllerOptions {
  /** Pairs of I/O queues. Default: as many as the controller grants, and has interrupts for. */
  readonly queues?: number | undefined;
  /** Entries of an I/O queue; one command less can be under way in each. Default: 64, or what the controller has. */
  readonly depth?: number | undefined;
  /** How completions are noticed. Default: by interrupts, where there are any. */
  readonly completions?: "interrupts" | "polling" | undefined;
  /** How long a command may take before it is aborted, in milliseconds. Default: 10,000. */
  readonly timeout?: number | undefined;
}

/** The most queues that can be asked for. */
const MOST_QUEUES = 65_535;

/**
 * The wanted options, or the defaults.
 *
 * @param entries the most that a queue of the controller can have
 * @throws RangeError it is not possible
 */
export function checked({ queues, depth }: ControllerOptions, entries: number) {
  return {
    queues: within(queues, "queues", 1, MOST_QUEUES) ?? MOST_QUEUES,
    depth: within(depth, "depth", 2, entries) ?? Math.min(64, entries),
  };
}

function within(value: number | undefined, name: string, least: number, most: number): number | undefined {
  if (value === undefined || (Number.isInteger(value) && value >= least && value <= most)) return value;
  throw new RangeError(`${name} must be an integer from ${least} to ${most}, received ${value}`);
}
