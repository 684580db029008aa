/** Remarks about the memory map behind a plan: it is not whole, or it does not show something. */

import { type Decision, isMapping, type Plan, type PlannedMapping } from "../container/plan.ts";
import { Elements, hex } from "../json.ts";
import { describeSection, sectionLast } from "../section.ts";
import { type Fact, printable } from "./text.ts";

/** Whether a decision would be another if a section that is taken for RAM were none. */
export function isUncertain(decision: Decision): decision is PlannedMapping {
  return isMapping(decision) && decision.section.typeIsAssumed === true;
}

/** The memory map as plans and checks have it in their documents. */
export function memoryMapDocument(plan: Plan, damage?: string): object {
  return {
    damage: damage ?? null,
    uncertain: new Elements(plan.map.filter(isUncertain), ({ section }) => ({
      start: hex(section.start),
      last: hex(sectionLast(section)),
      region: section.region,
    })),
  };
}

/** The warning that the memory map is not whole. */
export function damageFacts(damage: string | undefined): Fact[] {
  if (damage === undefined) return [];
  return [
    [
      "Warning",
      [
        `the memory map is not whole: ${printable(damage)}`,
        'sections may be missing; the plan has what is there. Needed is all that "info mtree -f" prints, to its last empty line',
      ],
    ],
  ];
}

/** How many sections are named; the document has all. */
const NAMED = 8;

/** The doubts of the plan, and how to settle them. */
export function uncertaintyFacts(plan: Plan): Fact[] {
  const uncertain = plan.map.filter(isUncertain);
  if (uncertain.length === 0) return [];
  return [
    [
      "Unsure",
      [
        ...uncertain.slice(0, NAMED).map(({ section }) => printable(describeSection(section))),
        ...(uncertain.length > NAMED ? [`and ${uncertain.length - NAMED} more`] : []),
        'taken for RAM; QEMU would not map a ROM device. "info mtree -f" shows both as rom: a running QEMU knows ' +
          '(--qmp, --libvirt), and so does the output of "info mtree", pasted below',
      ],
    ],
  ];
}
