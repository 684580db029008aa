// Input from outside, for the fuzzer: scripts/fuzz-inputs.js calls a function for each kind of input, by name. An input
// is read, or refused with one of the library's own errors; it changes nothing else, and takes no longer
// than the fuzzer's time-out.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, normalize } from "node:path";
import { parseProfile } from "../../dist/backend/software/profile.js";
import { SoftwareBackend } from "../../dist/backend/software/software-backend.js";
import { plan } from "../../dist/container/plan.js";
import { IommufdError } from "../../dist/errors.js";
import { findDmarUnits } from "../../dist/host/dmesg.js";
import { diagnose } from "../../dist/host/doctor.js";
import { decodeVtd } from "../../dist/hw-info/vtd.js";
import { readMemoryMap } from "../../dist/memory-map/memory-map.js";
import { answer, Monitor } from "../../dist/memory-map/monitor.js";
import { askMonitor } from "../../dist/memory-map/running-qemu.js";
import { parseSectionList } from "../../dist/memory-map/section-list.js";
import { originOf } from "../../dist/origin.js";
import { formatDoctor } from "../../dist/report/doctor-report.js";
import { planPage } from "../../dist/report/page/plan-page.js";
import { readPlanDocument } from "../../dist/report/plan-document.js";

const PROTOTYPE = Object.getOwnPropertyNames(Object.prototype).join();

/** Reads an input. */
function read(work, ...codes) {
  try {
    work();
  } catch (error) {
    refused(error, codes);
  }
  unpolluted();
}

function refused(error, codes) {
  if (!(error instanceof IommufdError && codes.includes(error.code))) throw error;
}

function unpolluted() {
  if (Object.getOwnPropertyNames(Object.prototype).join() !== PROTOTYPE)
    throw new Error("Object.prototype was changed");
}

/** Everything that sections become, down to the page. */
function use(sections) {
  const made = plan(sections, { bypassRo: true });
  const decision = { bypassRo: true, reason: "fuzzed" };
  const origin = originOf(undefined);
  const page = planPage(
    { origin, addressSpace: "memory", nesting: true, decision, affected: true, nestParent: true, plan: made },
    "x",
  );
  if (page.split("<script>").length !== 2) throw new Error("a name became markup");
}

export function mtree(data) {
  const onDamage = () => {};
  read(() => use(readMemoryMap(data.toString(), { source: "x", onDamage })), "ERR_IOMMUFD_INPUT");
}

export function sections(data) {
  let list;
  read(() => {
    list = parseSectionList(data.toString(), "x").sections;
  }, "ERR_IOMMUFD_INPUT");
  if (list === undefined) return;
  try {
    use(list);
  } catch (error) {
    // Sections that overlap.
    if (error.code !== "ERR_OUT_OF_RANGE") throw error;
  }
}

export function plans(data) {
  read(() => readPlanDocument(data.toString(), "x"), "ERR_IOMMUFD_INPUT");
}

export function profiles(data) {
  let value;
  try {
    value = JSON.parse(data.toString());
  } catch {
    return;
  }
  read(() => new SoftwareBackend(parseProfile(value)), "ERR_IOMMUFD_INPUT");
}

export function dmesg(data) {
  read(() => {
    for (const { capReg, ecapReg } of findDmarUnits(data.toString())) decodeVtd(capReg, ecapReg);
  });
}

/** A monitor whose answers are the lines of an input. */
class FuzzedMonitor extends Monitor {
  /** @type {string[]} */
  #answers;

  /** @param {string[]} answers */
  constructor(answers) {
    super("x", {});
    this.#answers = answers;
  }

  async exchange() {
    return this.parse(this.#answers.shift() ?? "", answer());
  }

  [Symbol.dispose]() {}
}

export async function qmp(data) {
  try {
    await askMonitor(new FuzzedMonitor(data.toString().split("\n")), "memory");
  } catch (error) {
    refused(error, ["ERR_IOMMUFD_QEMU", "ERR_IOMMUFD_INPUT"]);
  }
  unpolluted();
}

const ROOT = join(tmpdir(), `iommufd-fuzz-${process.pid}`);
process.on("exit", () => rmSync(ROOT, { recursive: true, force: true }));

/** A recorded tree: lines "PATH CONTENT", with \n for an end of line. */
export function sysfs(data) {
  rmSync(ROOT, { recursive: true, force: true });
  mkdirSync(ROOT);
  for (const line of data.toString().split("\n").slice(0, 20)) {
    const [path = "", ...content] = line.split(" ");
    const file = join(ROOT, normalize(`/${path}`));
    try {
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, content.join(" ").replaceAll("\\n", "\n"));
    } catch {
      // No name for a file, or a directory already.
    }
  }
  read(() => {
    const text = formatDoctor(diagnose(ROOT, []));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    if (/[\u0000-\u0009\u000b-\u001f]/.test(text)) throw new Error("a terminal would obey this");
  });
}
