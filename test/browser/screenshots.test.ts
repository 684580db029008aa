/**
 * The pictures of docs/images: the page, and a terminal. docs/images/README.md says how they are made anew. Fonts differ from
 * machine to machine, so what is compared is the text that a picture shows, which is kept beside it.
 */

import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, chromium, type Locator, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { atFixedTime, iommufd, PROJECT } from "../e2e/command.ts";
import { temporaryFiles } from "../e2e/temporary-files.ts";

const { directory, file } = temporaryFiles();
const PLAN = ["plan", "examples/guest-with-nesting.mtree", "--profile", "sapphire-rapids"];
const CHECK = ["check", ...PLAN.slice(1), "--bypass-ro", "off"];
const IMAGES = join(PROJECT, "docs/images");
const isMaking = process.env["IOMMUFD_SCREENSHOTS"] === "1";

/** The size that a picture may have, in bytes: pictures are part of the package. */
const LARGEST = 150_000;

let browser: Browser;
beforeAll(async () => {
  const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
});
afterAll(() => browser.close());

async function open(path: string, width: number) {
  const page = await browser.newPage({ viewport: { width, height: 800 } });
  await page.goto(pathToFileURL(path).href);
  return page;
}

/** Takes a picture of what is from one element to another, as wide as the window; it is kept where pictures are being made. */
async function picture(name: string, page: Page, first: Locator, last: Locator): Promise<void> {
  const kept = isMaking ? IMAGES : join(PROJECT, "build/test/screenshots");
  mkdirSync(kept, { recursive: true });
  const [from, to] = [await first.boundingBox(), await last.boundingBox()];
  if (from === null || to === null) throw new Error(`${name}: nothing to be seen`);
  const { width } = page.viewportSize() ?? { width: 0 };
  const clip = { x: 0, y: from.y, width, height: to.y + to.height - from.y };
  await page.screenshot({ path: join(kept, `${name}.png`), clip, fullPage: true });
  const text = `${(await page.locator("body").innerText()).trimEnd()}\n`;
  if (isMaking) writeFileSync(join(IMAGES, `${name}.txt`), text);
  expect(text).toBe(readFileSync(join(IMAGES, `${name}.txt`), "utf8"));
  for (const folder of [kept, IMAGES]) {
    const path = join(folder, `${name}.png`);
    expect(readFileSync(path).subarray(1, 4).toString()).toBe("PNG");
    expect(statSync(path).size).toBeLessThan(LARGEST);
  }
}

it("the page of a plan", async () => {
  const path = join(directory, "plan.html");
  expect(iommufd([...PLAN, "--html", path]).status).toBe(0);
  const page = await open(file("fixed.html", atFixedTime(readFileSync(path, "utf8"))), 960);
  await picture("page", page, page.locator("h1"), page.locator("dl"));
  await picture("page-sections", page, page.locator("#map-title"), page.locator("table"));
});

/** The colours of a terminal, by their codes. */
const COLOURS: Readonly<Record<string, string>> = {
  31: "#f14c4c",
  32: "#23d18b",
  33: "#e5b95c",
  90: "#9a9a9a",
};

/** The text that a terminal shows, as HTML. */
function asTerminal(text: string): string {
  const escaped = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const coloured = escaped
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what colours are made of
    .replaceAll(/\u001b\[(31|32|33|90)m/g, (_, code: string) => `<span style="color:${COLOURS[code]}">`)
    .replaceAll("\u001b[39m", "</span>");
  return `<!doctype html><meta charset="utf-8"><title>terminal</title>
<style>body{margin:0;background:#1e1e1e}pre{display:inline-block;margin:0;padding:12px 16px;background:#1e1e1e;color:#e4e4e4;font:13px/1.35 monospace}</style>
<pre>${coloured}</pre>`;
}

it("a terminal", async () => {
  const { status, stdout } = iommufd(CHECK, "", { FORCE_COLOR: "1" });
  expect(status).toBe(3);
  const html = asTerminal(`$ iommufd ${CHECK.join(" ")}\n${stdout}`);
  expect(html).not.toContain("\u001b");
  const page = await open(file("terminal.html", html), 1000);
  await picture("terminal", page, page.locator("pre"), page.locator("pre"));
});
