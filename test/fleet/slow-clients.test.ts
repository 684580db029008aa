/** `iommufd serve` while others hold it up: who asks as Prometheus does is answered. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { RunningServer } from "../e2e/running-server.ts";

/** How many clients attack, in turn. */
const CLIENTS = process.env["IOMMUFD_TEST_CLIENTS"]?.split(",").map(Number) ?? [64];
const SCRAPES = 100;

/** How long an answer may take, in milliseconds. */
const PATIENCE = 2_000;

it.each(CLIENTS)(
  "%d slow clients",
  async (clients) => {
    await using server = await RunningServer.start();
    const script = fileURLToPath(new URL("slow-clients.js", import.meta.url));
    const attacker = spawn(process.execPath, [script, server.url.port, String(clients)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = createInterface({ input: attacker.stdout })[Symbol.asyncIterator]();
    try {
      expect((await lines.next()).value).toBe("attacking");
      let answered = 0;
      let slowest = 0;
      for (let scrape = 0; scrape < SCRAPES; scrape++) {
        const begin = performance.now();
        const signal = AbortSignal.timeout(PATIENCE);
        const text = await fetch(server.url, { signal }).then(
          (answer) => answer.text(),
          () => "",
        );
        if (text.endsWith("# EOF\n")) answered++;
        slowest = Math.max(slowest, performance.now() - begin);
      }
      attacker.kill();
      const { value: connections } = await lines.next();
      console.log(
        `${clients} clients, ${connections} connections: ${answered} of ${SCRAPES} answered within ${PATIENCE} ms, the slowest in ${slowest.toFixed()} ms`,
      );
      expect(answered).toBe(SCRAPES);
    } finally {
      if (attacker.exitCode === null) attacker.kill("SIGKILL");
      if (attacker.exitCode === null && attacker.signalCode === null) await once(attacker, "exit");
    }
  },
  300_000,
);
