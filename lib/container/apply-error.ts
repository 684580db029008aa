import { IommufdError } from "../errors.ts";
import { describeSection } from "../section.ts";
import type { PlannedMapping } from "./plan.ts";

/** A section could not be mapped; all earlier mappings were unmapped again. `cause` is the reason. */
export class ApplyError extends IommufdError {
  /** The mapping that failed. */
  readonly mapping: PlannedMapping;
  /** Mappings that had been made before it and could not be unmapped. Empty unless something is badly wrong. */
  readonly stuck: readonly PlannedMapping[];

  /** @internal */
  constructor(mapping: PlannedMapping, undone: number, stuck: readonly PlannedMapping[], cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const rest =
      stuck.length === 0
        ? `the ${undone} mapped before it were unmapped again`
        : `${stuck.length} of the ${undone} mapped before it could not be unmapped: ${stuck.map(({ section }) => describeSection(section)).join(", ")}`;
    super("ERR_IOMMUFD_APPLY", `cannot map ${describeSection(mapping.section)}: ${why}; ${rest}`, { cause });
    this.name = "ApplyError";
    this.mapping = mapping;
    this.stuck = stuck;
  }
}
