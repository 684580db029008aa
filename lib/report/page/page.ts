/**
 * A report as one HTML page that needs nothing else: no network, no server, and to be read no script. The script that is in
 * it sorts and searches the table. Its content security policy lets that script and that style through, and nothing more.
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { formatLength } from "../../lengths.ts";
import type { Origin } from "../../origin.ts";
import { PACKAGE } from "../../package.ts";
import type { IovaRange } from "../../uapi.ts";
import type { AddressMap, GuestKind } from "../address-map.ts";
import type { Advice } from "../advice.ts";
import { describeMachine, type Fact, formatAddress, formatRange } from "../text.ts";
import type { Outcome, Verdict } from "../verdict.ts";
import { bandsOf } from "./bands.ts";
import { DRAWING_STYLE, drawSvg } from "./drawing.ts";
import { html, Markup } from "./markup.ts";

/** The facts about a section. */
export interface PageSection extends IovaRange {
  /** Its use: "map read-write". */
  readonly use: string;
  /** How it is drawn; the legend tells them apart. */
  readonly kind: GuestKind | "refused";
  readonly region: string;
  /** More to say of it, or nothing. */
  readonly remark: string;
}

/** The parts of a page. */
export interface PageContent {
  readonly title: string;
  readonly origin: Origin;
  readonly verdict: Verdict;
  /** The IOMMU and what is known of it; none where it was not asked. */
  readonly iommu: readonly Fact[];
  /** The VM, in lines. */
  readonly vm: readonly string[];
  /** Further remarks. */
  readonly facts: readonly Fact[];
  readonly map: AddressMap;
  /** The guest's sections of the map, in its order. */
  readonly sections: readonly PageSection[];
  /** The advice; the heading says where it applies. */
  readonly heading: string;
  readonly advice: readonly Advice[];
}

const VERDICTS: Readonly<Record<Outcome, string>> = {
  safe: "Safe:",
  changed: "Changed:",
  refused: "Refused:",
  unknown: "Unknown:",
};

const NOT_ASKED = "not asked";

const ASSETS = new URL("assets/", PACKAGE);

/** How many sections have a row: a browser lays out all of them before it shows the first. */
const MOST_ROWS = 20_000;

/** The page, as the text of an HTML file. */
export function formatPage(content: PageContent): string {
  const { title, verdict, facts, map, sections, heading, advice } = content;
  const style = asset("page.css") + DRAWING_STYLE;
  const script = asset("page.js");
  const policy = `default-src 'none'; style-src ${hash(style)}; script-src ${hash(script)}; img-src data:`;
  const kinds = new Map(sections.map(({ kind }) => [kind, new Set<string>()]));
  for (const { kind, use } of sections) kinds.get(kind)?.add(use);
  const rows = rowsOf(sections);
  const isCut = rows.length < sections.length;
  const hasRemarks = rows.some(({ remark }) => remark !== "");
  const numbered = rows.map((section, index) => ({ ...section, row: `section-${index}` }));
  const drawn = isCut
    ? bandsOf(map.axis, sections)
    : numbered.map((section) => ({ ...section, title: describe(section) }));
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>${title}</title>
<style>${new Markup(style)}</style>
</head>
<body>
<main>
<h1>${title}</h1>
<p class="verdict ${verdict.outcome}"><strong>${VERDICTS[verdict.outcome]}</strong> ${verdict.text}${byModel(content.origin)}</p>
<dl>
${[...identify(content), ...facts].map(([label, lines]) => html`<dt>${label}</dt><dd>${lines.map((line) => html`<p>${line}</p>`)}</dd>\n`)}</dl>
${
  advice.length === 0
    ? ""
    : html`<h2>${heading}</h2>
<ul class="advice">
${advice.map(adviceItem)}</ul>
`
}<h2 id="map-title">Addresses</h2>
<div class="scroll map-scroll">${drawSvg(map, drawn)}</div>
<p id="detail" class="detail" aria-live="polite">Point at a section, or reach it with the Tab key.</p>
<ul class="legend">
${[...kinds].map(([kind, uses]) => legend(kind, [...uses].join(", ")))}${map.host.length > 0 ? legend("reserved", "not for mappings: reserved by the host, or out of reach of its IOMMU") : ""}<li>widths are logarithmic; thin lines are addresses without anything</li>
</ul>
<h2 id="table-title">Sections</h2>
${isCut ? cutNotice(rows.length, sections.length) : ""}<p class="search"><label>Search <input type="search" id="search" autocomplete="off" spellcheck="false"></label> <output id="count" for="search">${rows.length} of ${rows.length}</output></p>
<div class="scroll">
<table aria-labelledby="table-title">
<thead><tr>${["DMA", "start", "last", "length", "region", ...(hasRemarks ? ["remark"] : [])].map(
    (name) => html`<th scope="col"><button type="button">${name}</button></th>`,
  )}</tr></thead>
<tbody>
${numbered.map((section) => tableRow(section, hasRemarks))}</tbody>
</table>
</div>
</main>
<script>${new Markup(script)}</script>
</body>
</html>
`.text;
}

/** The sections that have a row: all, or those that are refused and the first of the others. By address. */
function rowsOf(sections: readonly PageSection[]): readonly PageSection[] {
  if (sections.length <= MOST_ROWS) return sections;
  const isRefused = ({ kind }: PageSection) => kind === "refused";
  let others = Math.max(MOST_ROWS - sections.filter(isRefused).length, 0);
  return sections.filter((section) => isRefused(section) || others-- > 0);
}

/** That rows are missing, and where they are. */
function cutNotice(shown: number, all: number): Markup {
  return html`<p class="cut">The table has ${shown} of ${all} sections: those that are refused, and the first of the others by address. <code>iommufd plan --json</code> lists all of them. In the drawing neighbours are one, in the colour of what matters most.</p>
`;
}

/** The subject of the page: where, what, when, and who answered. */
function identify({ origin, iommu, vm }: PageContent): Fact[] {
  const { backend, backendReason, time, iommufdVersion } = origin;
  const machine = describeMachine(origin).join(", ");
  return [
    ["Host", [backend === "software" ? `none: a model answered ${machine}`.trimEnd() : machine || NOT_ASKED]],
    ...(iommu.length > 0 ? iommu : [["IOMMU", [NOT_ASKED]] as const]),
    ["QEMU", vm],
    ["Time", [time]],
    ["Version", [`iommufd ${iommufdVersion}`]],
    ["Backend", [backend === null ? "none: no IOMMU was asked" : `${backend} (${backendReason})`]],
  ];
}

/** A model is not the host: who reads the verdict alone has to know. */
function byModel({ backend, profile }: Origin): string {
  return backend === "software" ? ` (a model of ${profile ?? "a host"} answered)` : "";
}

function adviceItem({ text, commands = [] }: Advice): Markup {
  return html`<li>${text}${commands.map((command) => html`<pre>${command}</pre>`)}</li>\n`;
}

function legend(kind: string, meaning: string): Markup {
  return html`<li><svg class="key" width="28" height="14" aria-hidden="true"><rect class="${kind}" width="28" height="14"/></svg> ${meaning}</li>\n`;
}

function tableRow(
  { row, kind, use, start, last, region, remark }: PageSection & { row: string },
  hasRemarks: boolean,
): Markup {
  const length = last - start + 1n;
  return html`<tr id="${row}" class="${kind}"><td>${use}</td>${[start, last].map((address) => number(address, formatAddress(address)))}${number(length, formatLength(length))}<td class="region">${region}</td>${hasRemarks ? html`<td class="remark">${remark}</td>` : ""}</tr>\n`;
}

/** Rows are sorted by text that sorts as the number does, because JavaScript's numbers are too short. */
function number(value: bigint, shown: string): Markup {
  return html`<td class="number" data-order="${value.toString(16).padStart(17, "0")}">${shown}</td>`;
}

function describe({ use, start, last, region, remark }: PageSection): string {
  const length = formatLength(last - start + 1n);
  return [region, formatRange(start, last), length, use, ...(remark === "" ? [] : [remark])].join(", ");
}

function asset(name: string): string {
  return readFileSync(new URL(name, ASSETS), "utf8");
}

function hash(content: string): string {
  return `'sha256-${createHash("sha256").update(content).digest("base64")}'`;
}
