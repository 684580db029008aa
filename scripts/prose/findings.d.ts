/** Types of findings.js, which `npm run lint` runs as it is. */

export interface Finding {
  readonly line: number;
  readonly rule: string;
  readonly instead: string;
  readonly excerpt: string;
}
export function findings(name: string, source: string): Finding[];
