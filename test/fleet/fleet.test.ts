/** examples/fleet, and the formats of `probe`, held against the programs that read them. */

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { basename, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { iommufd, PROJECT } from "../e2e/command.ts";
import { RunningServer } from "../e2e/running-server.ts";
import { temporaryFiles } from "../e2e/temporary-files.ts";

const { directory, file } = temporaryFiles();
const FLEET = join(PROJECT, "examples/fleet");
const example = (name: string) => readFileSync(join(FLEET, name), "utf8");

function run(command: string, args: readonly string[], input = "") {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8", input });
  if (error !== undefined) throw error;
  return { status, stdout, stderr };
}

describe("probe --format prometheus", () => {
  it.each([[["--profile", "sapphire-rapids"]], [["--profile", "none"]], [[]]])(
    "%j: promtool has nothing to say against it",
    (args) => {
      const { stdout } = iommufd(["probe", "--format", "prometheus", ...args]);
      expect(stdout).toContain("# TYPE iommufd_available gauge\n");
      expect(run("promtool", ["check", "metrics"], stdout)).toEqual({ status: 0, stdout: "", stderr: "" });
    },
  );
});

describe("probe --format nfd", () => {
  it.each([
    ["sapphire-rapids", "iommufd.devices=2\niommufd.erratum-772415=true\niommufd.nested-translation=true\n"],
    ["vtd-no-erratum", "iommufd.devices=2\niommufd.erratum-772415=false\niommufd.nested-translation=true\n"],
  ])("%s", (profile, lines) => {
    const { stdout } = iommufd(["probe", "--format", "nfd", "--profile", profile]);
    expect(stdout).toBe(`iommufd.available=true\n${lines}`);
  });

  it("a host without iommufd, and names and values that Kubernetes takes for labels", () => {
    const { stdout } = iommufd(["probe", "--format", "nfd"]);
    expect(stdout).toBe("iommufd.available=false\n");
    for (const profile of ["none", "qemu-vtd", "selftest"]) {
      const lines = iommufd(["probe", "--format", "nfd", "--profile", profile]).stdout.trim().split("\n");
      for (const line of lines)
        expect(line).toMatch(/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?=[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$/);
    }
  });
});

describe("examples/fleet", () => {
  it("rules and configuration are what Prometheus takes, and the alerts do what they say", () => {
    expect(run("promtool", ["check", "rules", "--lint-fatal", join(FLEET, "rules.yml")]).status).toBe(0);
    expect(run("promtool", ["check", "config", join(FLEET, "prometheus.yml")]).status).toBe(0);
    expect(run("promtool", ["test", "rules", join(FLEET, "rules.test.yml")])).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("SUCCESS"),
    });
  });

  it("its rules ask for metrics that there are", async () => {
    await using server = await RunningServer.start("--probe", "--profile", "sapphire-rapids");
    const metrics = await (await fetch(server.url)).text();
    const names = new Set(
      [...example("rules.yml").matchAll(/(?<=expr: .*)\biommufd_\w+/g)].map(([name]) => name),
    );
    expect(names.size).toBeGreaterThan(3);
    for (const name of names) expect(metrics).toContain(`# TYPE ${name} gauge\n`);
  });

  it("the units are what systemd takes", () => {
    const command = join(directory, "iommufd");
    writeFileSync(command, "#!/bin/sh\n", { mode: 0o755 });
    const names = readdirSync(FLEET).filter((name) => /\.(service|socket|timer)$/.test(name));
    expect(names).toHaveLength(4);
    const units = names.map((name) =>
      file(
        name,
        example(name)
          .replace("/usr/bin/iommufd", command)
          .replace(/^Documentation=.*\n/m, ""),
      ),
    );
    expect(run("systemd-analyze", ["verify", "--recursive-errors=no", ...units])).toMatchObject({
      status: 0,
      stderr: expect.not.stringContaining(directory),
    });
  });

  it.each([
    [
      "iommufd-probe.service",
      () =>
        example("iommufd-probe.service")
          .match(/^ExecStart=\S+ (.*)$/m)?.[1]
          ?.split(" "),
    ],
    ["daemonset.yaml", () => parse(example("daemonset.yaml")).spec.template.spec.initContainers[0].args],
  ])("the command of %s works", (_, read) => {
    const args = read() as string[];
    const output = args.indexOf("--output") + 1;
    const path = join(directory, basename(args[output] as string));
    const outcome = iommufd([...args.with(output, path), "--profile", "sapphire-rapids"]);
    expect(outcome).toMatchObject({ status: 0, stdout: "" });
    expect(readFileSync(path, "utf8")).toMatch(/772415.*1|772415=true/);
    expect(readdirSync(directory).filter((name) => name.startsWith("."))).toEqual([]);
  });

  it("the DaemonSet's server starts as it says", async () => {
    const { args, ports } = parse(example("daemonset.yaml")).spec.template.spec.containers[0];
    expect(args).toEqual(["serve", "--listen", `0.0.0.0:${ports[0].containerPort}`, "--allow-remote"]);
  });

  it("a Prometheus scrapes `iommufd serve`, records and alerts", async () => {
    await using server = await RunningServer.start("--probe", "--profile", "sapphire-rapids");
    copyFileSync(join(FLEET, "rules.yml"), join(directory, "rules.yml"));
    const config = example("prometheus.yml").replace("127.0.0.1:9772", server.url.host);
    const port = await freePort();
    const prometheus = spawn(
      "prometheus",
      [
        `--config.file=${file("prometheus.yml", `global: { scrape_interval: 1s, evaluation_interval: 1s }\n${config}`)}`,
        `--storage.tsdb.path=${join(directory, "data")}`,
        `--web.listen-address=127.0.0.1:${port}`,
        "--log.level=error",
      ],
      { stdio: ["ignore", "ignore", "inherit"] },
    );
    try {
      const query = async (expression: string) => {
        const url = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(expression)}`;
        for (;;) {
          if (prometheus.exitCode !== null) throw new Error(`Prometheus ended: ${prometheus.exitCode}`);
          const answer = await fetch(url).catch(() => undefined);
          const found = answer?.ok ? ((await answer.json()) as Found).data.result : [];
          if (found.length > 0) return found.map(({ metric, value }) => ({ ...metric, value: value[1] }));
          await setTimeout(200);
        }
      };
      expect(await query("up")).toMatchObject([{ job: "iommufd", value: "1" }]);
      expect(await query("iommufd_device_erratum_772415")).toMatchObject([
        { bdf: "0000:6a:01.0", value: "1" },
        { bdf: "0000:6a:02.0", value: "1" },
      ]);
      expect(await query("instance:iommufd_erratum_772415:max")).toMatchObject([{ value: "1" }]);
      expect(await query('ALERTS{alertstate="firing"}')).toContainEqual(
        expect.objectContaining({ alertname: "IommufdModelOnProduction", severity: "critical" }),
      );
    } finally {
      prometheus.kill();
      await once(prometheus, "exit");
    }
  });
});

interface Found {
  readonly data: { readonly result: readonly { metric: Record<string, string>; value: [number, string] }[] };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}
