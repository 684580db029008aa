/** HTML that is put together without anything from outside getting to be markup. */

import { printable } from "../text.ts";

/** Text that is markup already. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Value = Markup | string | number | readonly Value[];

/** Makes markup of a template: what is put in is text, unless it is markup itself. */
export function html(template: TemplateStringsArray, ...values: readonly Value[]): Markup {
  return new Markup(String.raw({ raw: template }, ...values.map(render)));
}

function render(value: Value): string {
  if (value instanceof Markup) return value.text;
  if (typeof value === "object") return value.map(render).join("");
  return printable(String(value)).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
