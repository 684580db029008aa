/**
 * A report as one HTML page that needs nothing else: no network, no server, and to be read no script. The script that is in
 * it sorts and searches the table. Its content security policy lets that script and that style through, and nothing more.
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { formatLength } from "../../lengths.ts";
import { PACKAGE } from "../../package.ts";
import type { IovaRange } from "../../uapi.ts";
import type { AddressMap, GuestKind } from "../address-map.ts";
import { type Fact, formatAddress, formatRange } from "../text.ts";
import { drawSvg } from "./drawing.ts";
import { html, Markup } from "./markup.ts";

/** What is said of a section. */
export interface PageSection extends IovaRange {
  /** What is done with it: "map read-write". */
  readonly use: string;
  /** How it is drawn; the legend tells them apart. */
  readonly kind: GuestKind | "refused";
  readonly region: string;
  /** More to say of it, or nothing. */
  readonly remark: string;
}

/** What a page is made of. */
export interface PageContent {
  readonly title: string;
  readonly facts: readonly Fact[];
  readonly map: AddressMap;
  /** The guest's sections of the map, in its order. */
  readonly sections: readonly PageSection[];
  /** What to do about it, line by line; the heading says where. */
  readonly advice?: { readonly heading: string; readonly lines: readonly string[] };
}

const ASSETS = new URL("assets/", PACKAGE);

/** The page, as the text of an HTML file. */
export function formatPage({ title, facts, map, sections, advice }: PageContent): string {
  const style = asset("page.css");
  const script = asset("page.js");
  const policy = `default-src 'none'; style-src ${hash(style)}; script-src ${hash(script)}; img-src data:`;
  const kinds = new Map(sections.map(({ kind }) => [kind, new Set<string>()]));
  for (const { kind, use } of sections) kinds.get(kind)?.add(use);
  const hasRemarks = sections.some(({ remark }) => remark !== "");
  const numbered = sections.map((section, index) => ({ ...section, row: `section-${index}` }));
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
<dl>
${facts.map(([label, lines]) => html`<dt>${label}</dt><dd>${lines.map((line) => html`<p>${line}</p>`)}</dd>\n`)}</dl>
<h2 id="map-title">Addresses</h2>
<div class="scroll">${drawSvg(
    map,
    numbered.map((section) => ({ ...section, title: describe(section) })),
  )}</div>
<p id="detail" class="detail" aria-live="polite">Point at a section, or reach it with the Tab key.</p>
<ul class="legend">
${[...kinds].map(([kind, uses]) => legend(kind, [...uses].join(", ")))}${map.host.length > 0 ? legend("reserved", "not for mappings: reserved by the host, or out of reach of its IOMMU") : ""}<li>widths are logarithmic; thin lines are addresses without anything</li>
</ul>
<h2 id="table-title">Sections</h2>
<p class="search"><label>Search <input type="search" id="search" autocomplete="off" spellcheck="false"></label> <output id="count" for="search">${sections.length} of ${sections.length}</output></p>
<div class="scroll">
<table aria-labelledby="table-title">
<thead><tr>${["DMA", "start", "last", "length", "region", ...(hasRemarks ? ["remark"] : [])].map(
    (name) => html`<th scope="col"><button type="button">${name}</button></th>`,
  )}</tr></thead>
<tbody>
${numbered.map((section) => tableRow(section, hasRemarks))}</tbody>
</table>
</div>
${
  advice === undefined
    ? ""
    : html`<h2>${advice.heading}</h2>
<pre>${advice.lines.join("\n")}</pre>
`
}</main>
<script>${new Markup(script)}</script>
</body>
</html>
`.text;
}

function legend(kind: string, meaning: string): Markup {
  return html`<li><svg class="key" width="28" height="14" aria-hidden="true"><rect class="${kind}" width="28" height="14"/></svg> ${meaning}</li>\n`;
}

function tableRow(
  { row, kind, use, start, last, region, remark }: PageSection & { row: string },
  hasRemarks: boolean,
): Markup {
  const length = last - start + 1n;
  return html`<tr id="${row}" class="${kind}"><td>${use}</td>${[start, last].map((address) => number(address, formatAddress(address)))}${number(length, formatLength(length))}<td>${region}</td>${hasRemarks ? html`<td>${remark}</td>` : ""}</tr>\n`;
}

/** What is sorted by is text that sorts as the number does, for JavaScript's numbers are too short. */
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
