/** The action of `iommufd serve`: serves the facts about this host to Prometheus. */

import { normalizeBdf } from "../../bdf.ts";
import { diagnose } from "../../host/doctor.ts";
import { Interruption } from "../interruption.ts";
import type { ListenAddress } from "../listen-address.ts";
import { formatListening, isRemote, takeSystemdSocket, whereToListen } from "../listening.ts";
import { MetricsServer } from "../metrics-server.ts";
import type { BackendFlags } from "../options.ts";
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

/** How long what was seen is served again, in milliseconds: who asks all the time does not keep the host busy. */
const FRESH = 1_000;

/** Runs `iommufd serve`. */
export async function serve(bdfs: string[], flags: ServeFlags): Promise<void> {
  const { listen, allowRemote, hostName, root } = flags;
  const devices = bdfs.map(normalizeBdf);
  const where = takeSystemdSocket(process.env) ?? (await whereToListen(listen, allowRemote));
  const { addChecks, addProbe, makeRegistry } = await import("../../report/metrics.ts");
  const probed = flags.probe ? { report: await probeHost(flags, devices), time: Date.now() } : undefined;
  // Until it serves, there is nothing to end well: a profile that does not come (a FIFO) cannot keep the program.
  using interruption = new Interruption();
  const { signal } = interruption;
  const ended = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
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
