/** The pages that `--html` writes, looked at in a browser as files, with no network. */

import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { AxeBuilder } from "@axe-core/playwright";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
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
// A page that stays open goes on taking time.
afterEach(async () => {
  await Promise.all(browser.contexts().map((context) => context.close()));
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
  // With a context of its own, because axe-core refuses one of newPage().
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
  return { page, wrong };
}

interface Opened {
  readonly page: Page;
  readonly wrong: readonly string[];
}

/** The text of a page under a label. */
const fact = (page: Page, label: string) => page.locator(`dt:text-is("${label}") + dd`).textContent();

/** Where a box ends, in pixels. */
const endOf = (box: { x: number; width: number } | undefined) => (box === undefined ? 0 : box.x + box.width);

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

  it("prints without what is of no use on paper, and black on white", async () => {
    const { page } = await open(write("plan", GUEST), { colorScheme: "dark" });
    await page.emulateMedia({ media: "print", colorScheme: "dark" });
    expect(await page.getByLabel("Search").isVisible()).toBe(false);
    expect(await page.locator("svg.map").isVisible()).toBe(true);
    expect(await page.evaluate("getComputedStyle(document.body).color")).toBe("rgb(26, 26, 26)");
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
    const many = file("many.json", sectionList(manySections(3000)));
    const { page: wide, wrong } = await open(write("plan", many));
    expect(await wide.locator("tbody tr").count()).toBe(3000);
    await wide.getByLabel("Search").fill("r2999");
    expect(await column(wide, 5)).toEqual(["r2999"]);
    expect(wrong).toEqual([]);
  });
});

it("the page of a check shows what was refused, why, and what helps", async () => {
  const { page, wrong } = await open(write("check", GUEST, "--bypass-ro", "off"));
  expect(await page.locator("p.verdict.refused").textContent()).toBe(
    "Refused: 3 of 5 mappings; the others were made, and undone again (a model of sapphire-rapids answered)",
  );
  expect(await fact(page, "IOMMU")).toContain(
    "intel-vtd (IOMMU_GET_HW_INFO type 1), as 0000:6a:01.0 sees it",
  );
  expect(await fact(page, "IOMMU")).toContain("nest parent accepted");
  expect(await fact(page, "bypassRo")).toMatch(
    /^off: set by hand, although the IOMMU reports ERRATA_772415_SPR17/,
  );
  expect(await page.locator("svg.map rect.refused").count()).toBe(3);
  expect(await page.locator("tr.refused td:last-child").first().textContent()).toBe(
    "EINVAL: this IOMMU reports ERRATA_772415_SPR17: a nest parent must have no read-only mapping",
  );
  // The advice for all three is there once.
  expect(await page.locator("ul.advice li").allTextContents()).toEqual([
    "leave read-only sections out: --bypass-ro auto or on; QEMU 11.0 and later do (commit 68d3a2a24d)",
  ]);
  expect(wrong).toEqual([]);
});

describe("a page for a ticket", () => {
  it("begins with the verdict, and then says where, what, when and who answered", async () => {
    const { page } = await open(write("plan", GUEST));
    expect(await page.locator("h1 + p").textContent()).toBe(
      "Changed: 2 mappings; 3 read-only sections left out for ERRATA_772415_SPR17, 512 KiB (a model of sapphire-rapids answered)",
    );
    expect(await page.locator("dt").allTextContents()).toEqual(
      "Host IOMMU Erratum QEMU Time Version Backend Nesting bypassRo Totals".split(" "),
    );
    expect(await fact(page, "Host")).toBe("none: a model answered as Linux 7.2");
    expect(await fact(page, "Backend")).toBe("software (asked for; model of sapphire-rapids)");
    expect(await fact(page, "Time")).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(await fact(page, "Version")).toMatch(/^iommufd \d/);
  });

  it("has its advice as a list, commands apart", async () => {
    const { page } = await open(write("plan", GUEST));
    expect(await page.locator("ul.advice li").count()).toBe(4);
    expect(await page.locator("ul.advice li pre").allTextContents()).toEqual([
      "-device intel-iommu,scalable-mode=off",
      "qemu-system-x86_64 -device intel-iommu,help",
    ]);
  });

  const guest = () =>
    file("guest.json", sectionList([{ start: "0x0", last: "0xfffff", type: "ram", region: "r" }]));

  it.each([
    ["plan", ["--profile", "sapphire-rapids"], "changed"],
    ["plan", ["--profile", "sapphire-rapids", "--bypass-ro", "off"], "refused"],
    ["plan", ["--profile", "vtd-no-erratum"], "safe"],
    ["plan", ["--profile", "none"], "refused"],
    ["plan", ["--bypass-ro", "on"], "unknown"],
    ["plan", ["--no-nesting"], "unknown"],
    ["check", ["--profile", "sapphire-rapids"], "changed"],
    ["check", ["--profile", "vtd-no-erratum"], "safe"],
    ["check", ["--profile", "none"], "refused"],
    ["check", ["--profile", "qemu-vtd", "--device", "00:01.0", "00:02.0"], "changed"],
  ] as const)("%s %j: %s, and no line break is printed as an escape", async (command, options, outcome) => {
    for (const input of [GUEST, guest()]) {
      const path = join(directory, "page.html");
      iommufd([command, input, ...options, "--html", path]);
      const { page, wrong } = await open(path);
      if (input === GUEST)
        expect(await page.locator("p.verdict").getAttribute("class")).toBe(`verdict ${outcome}`);
      expect(await page.locator("main").innerText()).not.toContain("\\u{");
      expect(wrong).toEqual([]);
    }
  });
});

describe.each([400, 800, 1280, 1920])("at %i px", (width) => {
  /** Parts that overprint, stick out or blow up. */
  async function measure(path: string) {
    const { page } = await open(path, { viewport: { width, height: 800 } });
    // All of them in one evaluation: a page has thousands.
    const boxes = (selector: string) =>
      page.locator(selector).evaluateAll((elements) =>
        elements
          .filter((element) => element.getClientRects().length > 0)
          .map((element) => {
            const { x, width, height } = element.getBoundingClientRect();
            return { x, width, height };
          }),
      );
    const labels = (await boxes("svg.map text")).sort((a, b) => a.x - b.x);
    const [drawing] = await boxes("svg.map");
    const [frame] = await boxes(".map-scroll");
    return {
      labels: labels.length,
      overprinted: labels.filter((box, index) => box.x < endOf(labels[index - 1])).length,
      lastLabel: endOf(labels.at(-1)),
      drawing: drawing?.width ?? 0,
      drawingEnd: endOf(drawing),
      frame: frame?.width ?? 0,
      tallest: Math.max(...(await boxes("tbody tr")).map(({ height }) => height)),
      sideways: await page.evaluate("document.documentElement.scrollWidth - innerWidth"),
    };
  }

  it.each([
    ["plan", GUEST],
    ["check", GUEST],
    ["plan", "many"],
    ["check", "many"],
  ] as const)(
    "the page of a %s of %s keeps its labels apart, its rows low, and uses the width",
    async (command, of) => {
      const input = of === "many" ? file("many.json", sectionList(manySections(200))) : of;
      const found = await measure(write(command, input, "--bypass-ro", "off"));
      expect(found.labels).toBeGreaterThan(2);
      expect(found.overprinted).toBe(0);
      expect(found.lastLabel).toBeLessThanOrEqual(found.drawingEnd + 1);
      expect(found.drawing).toBeGreaterThanOrEqual(found.frame - 1);
      expect(found.tallest).toBeLessThan(120);
      // Tables and drawings scroll by themselves, and the page does not.
      expect(found.sideways).toBeLessThanOrEqual(0);
    },
  );
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

/** A page of memory in each MiB; every third is read-only. */
function manySections(count: number): object[] {
  return Array.from({ length: count }, (_, index) => {
    const start = BigInt(index) << 20n;
    return {
      start: `0x${start.toString(16)}`,
      last: `0x${(start + 0xfffn).toString(16)}`,
      type: "ram",
      readonly: index % 3 === 2,
      region: `r${index}`,
    };
  });
}
