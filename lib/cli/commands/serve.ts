/** `iommufd serve`: what is known of this host, as an endpoint for Prometheus. */

import { Command, InvalidArgumentError, Option } from "commander";
import { normalizeBdf } from "../../bdf.ts";
import { examine } from "../../host/doctor.ts";
import { Machine } from "../../host/machine.ts";
import { memlockLimit } from "../../host/memlock.ts";
import { addExamples } from "../examples.ts";
import { Interruption } from "../interruption.ts";
import { MetricsServer } from "../metrics-server.ts";
import {
  addBackendOptions,
  addCommonOptions,
  addRootOption,
  type BackendFlags,
  DEVICES_ARGUMENT,
} from "../options.ts";
import { printError, printNote } from "../output.ts";
import { probeHost } from "../probing.ts";

interface ServeFlags extends BackendFlags {
  listen: { host: string; port: number };
  hostName: string[];
  probe?: boolean;
  root: string;
  debug?: boolean;
}

/** Where it listens by default: only programs of this host reach it. */
const DEFAULT_LISTEN = "127.0.0.1:9772";

/** The command. */
export function serveCommand(): Command {
  const command = new Command("serve")
    .summary("serve metrics to Prometheus")
    .description(
      "Serves what `iommufd doctor` sees, looked at anew for each scrape, as OpenMetrics under /metrics. No device is " +
        "opened and nothing is changed. With --probe, what `iommufd probe` finds is served too: that opens the devices " +
        "once, at the start, which resets those that can be reset. Ends on Ctrl-C and SIGTERM.",
    )
    .argument(...DEVICES_ARGUMENT)
    .addOption(
      new Option("--listen <address:port>", "where to listen; port 0 is any that is free")
        .argParser(parseListen)
        .default(parseListen(DEFAULT_LISTEN), DEFAULT_LISTEN),
    )
    .option(
      "--host-name <name...>",
      "names that this host is asked by, beside its addresses and localhost",
      [],
    )
    .option("--probe", "also probe the devices, once");
  return addExamples(
    addCommonOptions(addBackendOptions(addRootOption(command)), { json: false }),
    "iommufd serve",
    "iommufd serve --probe --listen 0.0.0.0:9772 --host-name node1.example",
  ).action(serve);
}

async function serve(bdfs: string[], flags: ServeFlags): Promise<void> {
  const { listen, hostName, root } = flags;
  const devices = bdfs.map(normalizeBdf);
  const { addChecks, addProbe, makeRegistry } = await import("../../report/metrics.ts");
  using interruption = new Interruption();
  const { signal } = interruption;
  const ended = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  const probed = flags.probe ? { report: await probeHost(flags, devices), time: Date.now() } : undefined;
  const metrics = async () => {
    const registry = makeRegistry("openmetrics");
    addChecks(registry, examine(new Machine(root), devices, memlockLimit(root)));
    if (probed !== undefined) addProbe(registry, probed.report, probed.time);
    return await registry.metrics();
  };
  await using server = await MetricsServer.start(listen.host, listen.port, {
    metrics,
    contentType: makeRegistry("openmetrics").contentType,
    hostNames: hostName,
    onError: (error) => printError(error, flags.debug ?? false),
  });
  printNote(`serving ${server.url}`);
  await ended;
}

/** "127.0.0.1:9772", "[::1]:9772" */
function parseListen(value: string): { host: string; port: number } {
  const [, host, port] = /^(?:\[([0-9a-f:]+)\]|[^:[\]]+):(\d{1,5})$/i.exec(value) ?? [];
  if (port === undefined || Number(port) > 65_535)
    throw new InvalidArgumentError("It must be an address and a port, such as 127.0.0.1:9772 or [::1]:9772.");
  return { host: host ?? value.slice(0, value.lastIndexOf(":")), port: Number(port) };
}
