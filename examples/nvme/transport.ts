/** The access to a controller, as the driver sees it. `pci.ts` makes one of a PCI function, tests make others. */

import type { Ioas, Iommufd } from "iommufd";
import type { Registers } from "./registers.ts";

export interface Transport {
  readonly registers: Registers;
  readonly iommufd: Iommufd;
  /** The address space that the controller is attached to. */
  readonly ioas: Ioas;
  /** How many interrupts there are. */
  readonly interrupts: number;
  /** Takes so many of them, from the first. Called once. */
  enableInterrupts(count: number): readonly AsyncIterable<unknown>[];
  /** Resets the function, as a last resort. */
  reset(): void;
  /** Blocks all DMA of the function, for good. */
  block(): void;
  /** Gives everything back. */
  close(): void;
}
