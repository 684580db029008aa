#!/usr/bin/env node
// Asks the registry for known vulnerabilities of what the package depends on: npm run audit. Ends with exit code 1 where there
// are any; where no registry answers such questions, says so.

import { spawnSync } from "node:child_process";
import process from "node:process";

const { stdout, error } = spawnSync("npm", ["audit", "--omit=dev", "--json"], { encoding: "utf8" });
if (error) throw error;
const answer = JSON.parse(stdout || "{}");
if (answer.metadata === undefined) {
  console.log(
    `nothing was checked: the registry answers no such questions (${answer.message ?? "no answer"})`,
  );
} else {
  const { vulnerabilities, dependencies } = answer.metadata;
  console.log(
    `${dependencies.prod} packages that this one depends on, ${vulnerabilities.total} known vulnerabilities`,
  );
  for (const { name, severity, range } of Object.values(answer.vulnerabilities))
    console.log(`- ${name} ${range}: ${severity}`);
  process.exitCode = vulnerabilities.total === 0 ? 0 : 1;
}
