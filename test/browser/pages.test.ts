/** The pages that `--html` writes, looked at in a browser as files, with no network. */

import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { AxeBuilder } from "@axe-core/playwright";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { iommufd, PROJECT } from "../e2e/command.ts";
import { temporaryFiles } from "../e2e/temporary-files.ts";

const { directory, file } = temporaryFiles();
const GUEST = "examples/guest-with-nesting.mtree";
const SCREENSHOTS = join(PROJECT, "build/test/screenshots");

let browser: Browser;
beforeAll(async () => {
  mkdirSync(SCREENSHOTS, { recursive: true });
  const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
  // Chromium's own sandbox cannot be had by root, and the pages are ours.
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
});
afterAll(() => browser.close());

/** Writes a page with the command. */
function write(command: "plan" | "check", input: string, ...more: string[]): string {
  const path = join(directory, `${command}.html`);
  const { stderr } = iommufd([command, input, "--profile", "sapphire-rapids", "--html", path, ...more]);
  expect(stderr).toBe("");
  return path;
}

/** Opens a page. Every error in it and every request from it counts as an error. */
async function open(path: string, options: Parameters<Browser["newContext"]>[0] = {}): Promise<Opened> {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const wrong: string[] = [];
  page.on("console", (message) => wrong.push(message.text()));
  page.on("pageerror", (error) => wrong.push(error.message));
  page.on("dialog", (dialog) => wrong.push(dialog.message()));
  const url = pathToFileURL(path).href;
  page.on("request", (request) => {
    if (request.url() !== url && !request.url().startsWith("data:")) wrong.push(request.url());
  });
  await page.goto(url);
  return { page, context, wrong };
}

interface Opened {
  readonly page: Page;
  readonly context: BrowserContext;
  readonly wrong: readonly string[];
}

/** Text of a column of the rows that are shown. */
const column = (page: Page, index: number) =>
  page.locator(`tbody tr:visible td:nth-child(${index})`).allTextContents();

describe("the page of a plan", () => {
  it("shows every section, in the drawing and in the table", async () => {
    const { page, wrong } = await open(write("plan", GUEST));
    expect(await page.title()).toBe(`DMA plan of ${GUEST}`);
    expect(await page.locator("svg a").count()).toBe(9);
    expect(await column(page, 5)).toEqual([
      ...["pc.ram", "pc.rom", "pc.bios @0x20000", "pc.ram @0x100000"],
      ...["ioapic", "hpet", "intel_iommu", "apic-msi", "pc.bios"],
    ]);
    expect(await page.locator("ul.legend li").allTextContents()).toEqual([
      " map read-write",
      " skip: read-only",
      " skip: not RAM",
      " not for mappings: reserved by the host, or out of reach of its IOMMU",
      "widths are logarithmic; thin lines are addresses without anything",
    ]);
    expect(await page.locator("svg.map rect.reserved").getAttribute("aria-label")).toBe(
      "reserved by the host: 0xfee00000-0xfeefffff, 1 MiB",
    );
    expect(wrong).toEqual([]);
  });

  it("is searched: rows that do not match go, and are faint in the drawing", async () => {
    const { page } = await open(write("plan", GUEST));
    await page.getByLabel("Search").fill("READ-only");
    expect(await column(page, 5)).toEqual(["pc.rom", "pc.bios @0x20000", "pc.bios"]);
    expect(await page.locator("#count").textContent()).toBe("3 of 9");
    expect(await page.locator("svg a.unmatched").count()).toBe(6);
    // A section that is not among them is shown again where it is asked for.
    await page.locator("svg a").first().click();
    expect(await page.locator("#count").textContent()).toBe("9 of 9");
    await page.getByLabel("Search").fill("no such thing");
    expect(await page.locator("#count").textContent()).toBe("0 of 9");
  });

  it("is sorted by numbers as numbers, either way", async () => {
    const { page } = await open(write("plan", GUEST));
    await page.getByRole("button", { name: "length" }).click();
    const lengths = [
      "560 B",
      "1 KiB",
      "4 KiB",
      "128 KiB",
      "128 KiB",
      "256 KiB",
      "768 KiB",
      "1 MiB",
      "255 MiB",
    ];
    expect(await column(page, 4)).toEqual(lengths);
    expect(await page.locator("th[aria-sort]").getAttribute("aria-sort")).toBe("ascending");
    await page.getByRole("button", { name: "length" }).click();
    expect(await column(page, 4)).toEqual(lengths.toReversed());
    await page.getByRole("button", { name: "region" }).click();
    expect(await page.locator("th[aria-sort]").textContent()).toBe("region");
    expect((await column(page, 5))[0]).toBe("apic-msi");
  });

  it("tells each section where the mouse points and where the keyboard is", async () => {
    const { page } = await open(write("plan", GUEST));
    const detail = page.locator("#detail");
    await page.locator("svg a").nth(1).hover();
    expect(await detail.textContent()).toBe("pc.rom, 0xc0000-0xdffff, 128 KiB, skip: read-only");
    expect(await page.locator("tr.marked").textContent()).toContain("pc.rom");
    await page.mouse.move(0, 0);
    for (let press = 0; press < 4; press++) await page.keyboard.press("Tab");
    expect(await detail.textContent()).toBe("pc.ram @0x100000, 0x100000-0xfffffff, 255 MiB, map read-write");
    await page.keyboard.press("Enter");
    expect(await page.locator("tr:target").textContent()).toContain("pc.ram @0x100000");
    await page.locator("svg.map rect.reserved").focus();
    expect(await detail.textContent()).toContain("reserved by the host");
  });

  it("prints without what is of no use on paper", async () => {
    const { page } = await open(write("plan", GUEST));
    await page.emulateMedia({ media: "print" });
    expect(await page.getByLabel("Search").isVisible()).toBe(false);
    expect(await page.locator("svg.map").isVisible()).toBe(true);
    expect((await page.pdf({ format: "A4" })).length).toBeGreaterThan(10_000);
  });

  it("can be read without its script", async () => {
    const { page } = await open(write("plan", GUEST), { javaScriptEnabled: false });
    expect(await page.locator("tbody tr:visible").count()).toBe(9);
    expect(await page.locator("svg a").count()).toBe(9);
  });

  it("shows 4 KiB beside 4 TiB, and thousands of sections", async () => {
    const page4k = { start: "0x80000000000", last: "0x80000000fff", type: "ram", region: "page" };
    const sections = [{ start: "0x0", last: "0x3ffffffffff", type: "ram", region: "big" }, page4k];
    const { page } = await open(write("plan", file("tib.json", sectionList(sections))));
    const box = await page.locator("svg a").nth(1).boundingBox();
    expect(box?.width).toBeGreaterThan(10);
    const many = Array.from({ length: 3000 }, (_, index) => {
      const start = BigInt(index) << 20n;
      return {
        start: `0x${start.toString(16)}`,
        last: `0x${(start + 0xfffn).toString(16)}`,
        type: "ram",
        region: `r${index}`,
      };
    });
    const { page: wide, wrong } = await open(write("plan", file("many.json", sectionList(many))));
    expect(await wide.locator("tbody tr").count()).toBe(3000);
    await wide.getByLabel("Search").fill("r2999");
    expect(await column(wide, 5)).toEqual(["r2999"]);
    expect(wrong).toEqual([]);
  });
});

it("the page of a check shows what was refused, why, and what helps", async () => {
  const { page, wrong } = await open(write("check", GUEST, "--bypass-ro", "off"));
  const verdict = page.locator('dt:text-is("Plan") + dd');
  expect(await verdict.textContent()).toContain("refused: 3 of 5 mappings");
  expect(await page.locator("svg.map rect.refused").count()).toBe(3);
  expect(await page.locator("tr.refused td:last-child").first().textContent()).toBe(
    "EINVAL: this IOMMU reports ERRATA_772415_SPR17: a nest parent must have no read-only mapping; " +
      "leave read-only sections out: --bypass-ro auto or on; QEMU 11.0 and later do (commit 68d3a2a24d)",
  );
  expect(wrong).toEqual([]);
});

describe.each(["light", "dark"] as const)("in %s", (colorScheme) => {
  it.each(["plan", "check"] as const)("the page of a %s has no accessibility violations", async (command) => {
    const { page } = await open(write(command, GUEST, "--bypass-ro", "off"), { colorScheme });
    await page.getByRole("button", { name: "start" }).click();
    await page.locator("svg a").nth(1).focus();
    const { violations } = await new AxeBuilder({ page }).analyze();
    expect(violations).toEqual([]);
    const screenshot = await page.screenshot({
      path: join(SCREENSHOTS, `${command}-${colorScheme}.png`),
      fullPage: true,
    });
    expect(screenshot.length).toBeGreaterThan(10_000);
    const ground = await page.evaluate("getComputedStyle(document.body).backgroundColor");
    expect(ground).toBe(colorScheme === "dark" ? "rgb(22, 24, 27)" : "rgb(255, 255, 255)");
  });
});

describe("names from outside", () => {
  const HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><svg onload=alert(1)>",
    "\u001b[31mred\u001b]0;title\u0007",
    "\u202egnp.exe",
    "&lt;b&gt;",
    "javascript:alert(1)",
  ];
  const sections = HOSTILE.map((region, index) => ({
    start: `0x${index}000`,
    last: `0x${index}fff`,
    type: "ram",
    region,
  }));
  /** As they are shown: what a terminal or a reader would obey is made visible. */
  const shown = HOSTILE.map((name) =>
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    name.replace(/[\u0000-\u001f\u202e]/g, (character) => `\\u{${character.charCodeAt(0).toString(16)}}`),
  );

  it.each(["plan", "check"] as const)("do nothing in the page of a %s but stand there", async (command) => {
    const input = file("</title><script>alert(2)<x>".replaceAll("/", ""), sectionList(sections));
    const path = write(command, input);
    const { page, wrong } = await open(path);
    expect(await column(page, 5)).toEqual(shown);
    expect(await page.locator("script").count()).toBe(1);
    expect(await page.locator("img").count()).toBe(0);
    for (const link of await page.locator("svg a").all()) {
      await link.hover();
      await link.click();
    }
    await page.getByLabel("Search").fill("<img");
    expect(await page.locator("#count").textContent()).toBe("1 of 8");
    expect(wrong).toEqual([]);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect(readFileSync(path, "utf8")).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/);
  });

  it("do nothing in a terminal", () => {
    for (const command of ["plan", "check"]) {
      const { stdout } = iommufd([command, file("x", sectionList(sections)), "--profile", "vtd-no-erratum"]);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
      expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/);
    }
  });

  it("even markup that got through would not run: the policy knows one script", async () => {
    const path = write("plan", GUEST);
    const tampered = readFileSync(path, "utf8").replace(
      "</main>",
      "<script>document.title='x'</script></main>",
    );
    const { page, wrong } = await open(file("tampered.html", tampered));
    expect(await page.title()).toBe(`DMA plan of ${GUEST}`);
    expect(wrong).toEqual([expect.stringContaining("Content Security Policy")]);
  });
});

function sectionList(sections: readonly object[]): string {
  return JSON.stringify({ schema: "iommufd.sections/1", sections });
}
