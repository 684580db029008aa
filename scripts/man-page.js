#!/usr/bin/env node
// Writes the manual, dist/iommufd.1, of the commands as they were built. Its date is that of the release.

import { readFileSync, writeFileSync } from "node:fs";
import { formatManPage } from "../dist/cli/man-page.js";
import { makeProgram } from "../dist/cli/program.js";

const changes = readFileSync(new URL("../CHANGELOG.md", import.meta.url), "utf8");
const [, released] = /^## \S+, (\d{4}-\d\d-\d\d)$/m.exec(changes) ?? [];
const date = released === undefined ? new Date() : new Date(released);
const words = date.toLocaleDateString("en-US", { dateStyle: "long", timeZone: "UTC" });
writeFileSync(new URL("../dist/iommufd.1", import.meta.url), formatManPage(makeProgram(), words));
