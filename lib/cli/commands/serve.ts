/** `iommufd serve`: what is known of this host, as an endpoint for Prometheus. */

import { Command, Option } from "commander";
import { addExamples } from "../examples.ts";
import { later } from "../later.ts";
import { parseListen } from "../listen-address.ts";
import { addBackendOptions, addCommonOptions, addRootOption, DEVICES_ARGUMENT, GROUPS } from "../options.ts";

/** Where it listens by default: only programs of this host reach it. */
const DEFAULT_LISTEN = "127.0.0.1:9772";

/** The command. */
export function serveCommand(): Command {
  const command = addBackendOptions(addRootOption(new Command("serve").argument(...DEVICES_ARGUMENT)))
    .summary("serve metrics to Prometheus")
    .description(
      "Serves what `iommufd doctor` sees, looked at anew for each scrape (once a second at most), as OpenMetrics under " +
        "/metrics. No device is opened and nothing is changed. With --probe, what `iommufd probe` finds is served too: that " +
        "opens the devices once, at the start, which resets those that can be reset. There is no password and no " +
        "encryption: who can connect can read. A socket that systemd hands over (socket activation) is served in place of " +
        "--listen. Ends on Ctrl-C, SIGTERM and SIGHUP.",
    )
    .option("--probe", "also probe the devices, once")
    .optionsGroup(GROUPS.output)
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
    );
  return addExamples(
    addCommonOptions(command, { json: false, trace: true }),
    "iommufd serve",
    "iommufd serve --listen unix:/run/iommufd.sock",
    "iommufd serve --probe --listen 0.0.0.0:9772 --allow-remote --host-name node1.example",
  ).action(later(async () => (await import("../actions/serve.ts")).serve));
}
