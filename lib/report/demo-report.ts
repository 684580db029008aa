/** The result of the demonstration of the erratum, for people and as JSON. */

import type { DmaFaultReason } from "../backend/software/iommus/stage-1.ts";
import type { ChangedEntry, ErratumCase, ErratumDemo } from "../demo/erratum.ts";
import { hex } from "../json.ts";
import type { Origin } from "../origin.ts";
import { type Look, PLAIN } from "./look.ts";
import { formatAddress, formatOrigin, labelled, paintFirst, wrap } from "./text.ts";

/** Flags that an IOMMU sets in an entry of a first-stage page table, by bit. */
const MARKS = [
  [5n, "Accessed"],
  [6n, "Dirty"],
] as const;

/** Why an access was stopped, in words. */
const STOPPED: Readonly<Record<DmaFaultReason, string>> = {
  "not-attached": "the device is attached to nothing",
  "not-mapped": "nothing is mapped there",
  "no-permission": "what is mapped there may not be written",
  "not-present": "the guest's page table leads nowhere",
  "first-stage-read-only": "the guest's page table forbids it",
  "not-canonical": "it is not an address of the guest's page table",
  "first-stage-out-of-reach": "it may not mark the guest's page table",
  "first-stage-aborts": "the guest lets the device reach nothing",
  "first-stage-misconfigured": "the guest has configured the device in a way that the IOMMU does not take",
  "not-accessed": "the guest's page table has not been accessed there, and the IOMMU does not mark it",
  "first-stage-address-too-large": "the guest's page table leads to an address that is too large",
};

/** The document `iommufd.demo/1`. */
export function demoDocument(origin: Origin, { iova, target, cases }: ErratumDemo): object {
  return {
    schema: "iommufd.demo/1",
    ...origin,
    iova: hex(iova),
    target: hex(target),
    cases: cases.map(({ changed, ...rest }) => ({
      ...rest,
      changed: changed.map(({ address, before, after }) => ({
        address: hex(address),
        before: hex(before),
        after: hex(after),
      })),
    })),
  };
}

/** The story for people. */
export function formatDemo(origin: Origin, { iova, target, cases }: ErratumDemo, look: Look = PLAIN): string {
  const story =
    `A guest keeps its I/O page table in its ROM. A device writes once, to IOVA ${formatAddress(iova)}. That table leads ` +
    `to guest address ${formatAddress(target)}. All hardware here is modelled.`;
  return [
    formatOrigin(origin, look.width),
    "",
    ...wrap(story, look.width),
    ...cases.flatMap((each, index) => ["", `${index + 1}. ${each.host}`, formatCase(each, look)]),
  ].join("\n");
}

function formatCase(
  { rom, refused, arrived, stopped, changed }: ErratumCase,
  { width, paint }: Look,
): string {
  const lines = [
    labelled("  ROM", [refused === null ? rom : `${rom}: the kernel refuses that (${refused})`], width),
  ];
  if (refused === null) {
    const why = stopped === null ? "" : `: ${STOPPED[stopped]}`;
    lines.push(
      labelled("  DMA", [arrived ? "the write arrived" : `the IOMMU stopped the write${why}`], width),
    );
  }
  const [colour, result] =
    changed.length === 0
      ? (["green", "the ROM is intact"] as const)
      : (["red", "the ROM was changed"] as const);
  const told = changed.length === 0 ? [result] : [`${result}:`, ...changed.map(formatChange)];
  lines.push(paintFirst(labelled("  result", told, width), result, (words) => paint(colour, words)));
  return lines.join("\n");
}

function formatChange({ address, before, after }: ChangedEntry): string {
  const marks = MARKS.filter(([bit]) => ((before ^ after) >> bit) & 1n).map(([, name]) => name);
  return `${formatAddress(address)}: ${formatAddress(before)} became ${formatAddress(after)} (${marks.join(", ")})`;
}
