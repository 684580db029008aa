/** `iommufd serve`: what is known of this host, as an endpoint for Prometheus. */

import { Command, Option } from "commander";
import { normalizeBdf } from "../../bdf.ts";
import { diagnose } from "../../host/doctor.ts";
import { addExamples } from "../examples.ts";
import { Interruption } from "../interruption.ts";
import {
  formatListening,
  isRemote,
  type ListenAddress,
  parseListen,
  takeSystemdSocket,
  whereToListen,
} from "../listening.ts";
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
  listen: ListenAddress;
  allowRemote: boolean;
  hostName: string[];
  probe?: boolean;
  root: string;
  debug?: boolean;
}

/** Where it listens by default: only programs of this host reach it. */
const DEFAULT_LISTEN = "127.0.0.1:9772";

/** How long what was seen is served again, in milliseconds: who asks all the time does not keep the host busy. */
const FRESH = 1_000;

/** The command. */
export function serveCommand(): Command {
  const command = new Command("serve")
    .summary("serve metrics to Prometheus")
    .description(
      "Serves what `iommufd doctor` sees, looked at anew for each scrape (once a second at most), as OpenMetrics under " +
        "/metrics. No device is opened and nothing is changed. With --probe, what `iommufd probe` finds is served too: that " +
        "opens the devices once, at the start, which resets those that can be reset. There is no password and no " +
        "encryption: who can connect can read. A socket that systemd hands over (socket activation) is served in place of " +
        "--listen. Ends on Ctrl-C, SIGTERM and SIGHUP.",
    )
    .argument(...DEVICES_ARGUMENT)
    .addOption(
      new Option(
        "--listen <address:port>",
        "where to listen; port 0 is any that is free; unix:PATH is a Unix socket",
      )
        .argParser(parseListen)
        .default(parseListen(DEFAULT_LISTEN), DEFAULT_LISTEN),
    )
    .option("--allow-remote", "listen where other hosts can connect too", false)
    .option(
      "--host-name <name...>",
      "names that this host is asked by, beside its addresses and localhost",
      [],
    )
    .option("--probe", "also probe the devices, once");
  return addExamples(
    addCommonOptions(addBackendOptions(addRootOption(command)), { json: false }),
    "iommufd serve",
    "iommufd serve --listen unix:/run/iommufd.sock",
    "iommufd serve --probe --listen 0.0.0.0:9772 --allow-remote --host-name node1.example",
  ).action(serve);
}

async function serve(bdfs: string[], flags: ServeFlags): Promise<void> {
  const { listen, allowRemote, hostName, root } = flags;
  const devices = bdfs.map(normalizeBdf);
  const where = takeSystemdSocket(process.env) ?? (await whereToListen(listen, allowRemote));
  const { addChecks, addProbe, makeRegistry } = await import("../../report/metrics.ts");
  using interruption = new Interruption();
  const { signal } = interruption;
  const ended = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  const probed = flags.probe ? { report: await probeHost(flags, devices), time: Date.now() } : undefined;
  const metrics = async () => {
    const registry = makeRegistry("openmetrics");
    addChecks(registry, diagnose(root, devices).checks);
    if (probed !== undefined) addProbe(registry, probed.report, probed.time);
    return await registry.metrics();
  };
  await using server = await MetricsServer.start(where, {
    metrics: sharedFor(FRESH, metrics),
    contentType: makeRegistry("openmetrics").contentType,
    hostNames: hostName,
    onError: (error) => printError(error, flags.debug ?? false),
  });
  if (isRemote(server.address) && !flags.quiet)
    printNote(
      "other hosts can connect, without a password or encryption, and read what doctor and probe see",
    );
  if (!flags.quiet) printNote(`serving ${formatListening(server.address)}`);
  await ended;
}

/** Does work once for all who ask within a time, in milliseconds. */
function sharedFor<Result>(time: number, work: () => Promise<Result>): () => Promise<Result> {
  let last: { readonly result: Promise<Result>; readonly until: number } | undefined;
  return () => {
    if (last === undefined || performance.now() >= last.until)
      last = { result: work(), until: performance.now() + time };
    return last.result;
  };
}
