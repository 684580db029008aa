/** Memory maps of guests as JSON section lists, which the command reads. */

/** A section. Where nothing else is said, it is writable RAM. */
interface ListedSection {
  start: string;
  last: string;
  type?: string;
  readonly?: boolean;
  region?: string;
  offsetInRegion?: string;
}

/** The text of a list. Regions without a name are "ram0", "ram1", and so on, by their place in it. */
export function sectionList(...sections: readonly ListedSection[]): string {
  return JSON.stringify({
    schema: "iommufd.sections/1",
    addressSpace: "memory",
    sections: sections.map((section, index) => ({ type: "ram", region: `ram${index}`, ...section })),
  });
}
