/** The findings as metrics for Prometheus: for a textfile collector, and for an endpoint. */

import { Gauge, Registry, type RegistryContentType } from "prom-client";
import type { CheckStatus, HostCheck } from "../host/check.ts";
import { isReady } from "./doctor-report.ts";
import { type ProbeReport, supportsNesting } from "./probe-report.ts";

const STATUSES: readonly CheckStatus[] = ["pass", "warn", "fail", "unknown"];

/** The text format of Prometheus, which node_exporter's textfile collector reads, or OpenMetrics. */
export function makeRegistry(format: "text" | "openmetrics"): Registry {
  const registry: Registry<RegistryContentType> = new Registry();
  if (format === "openmetrics") registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  return registry as Registry;
}

/**
 * Adds what a probe found.
 *
 * @param report undefined: this host has no iommufd that could be asked
 * @param time when it was probed, in milliseconds since 1970
 */
export function addProbe(registry: Registry, report: ProbeReport | undefined, time: number): void {
  const gauge = <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
    new Gauge({ name, help, labelNames, registers: [registry] });

  gauge("iommufd_available", "Whether this host has an iommufd that can be used.").set(
    report === undefined ? 0 : 1,
  );
  gauge("iommufd_probe_timestamp_seconds", "When the devices were probed, in seconds since 1970.").set(
    time / 1000,
  );
  if (report === undefined) return;
  const success = gauge("iommufd_device_probe_success", "Whether a device could be probed.", "bdf");
  const info = gauge(
    "iommufd_device_info",
    'The IOMMU of a device, and who told: the kernel, or a model ("software").',
    ...(["bdf", "iommu", "backend"] as const),
  );
  const erratum = gauge(
    "iommufd_device_erratum_772415",
    "Whether the IOMMU of a device reports ERRATA_772415_SPR17.",
    "bdf",
  );
  const nesting = gauge(
    "iommufd_device_nested_translation",
    "Whether the kernel makes a nest parent for a device.",
    "bdf",
  );
  const pasid = gauge(
    "iommufd_device_pasid_width",
    "Width of a device's PASIDs in bits; 0 is without.",
    "bdf",
  );
  for (const device of report.devices) {
    const { bdf } = device;
    success.set({ bdf }, device.error === null ? 1 : 0);
    if (device.info === null) continue;
    info.set({ bdf, iommu: device.info.type, backend: String(report.origin.backend) }, 1);
    pasid.set({ bdf }, device.info.maxPasidLog2);
    // Unknown facts have no value.
    const { erratum772415 } = device.info;
    if (erratum772415 !== undefined) erratum.set({ bdf }, erratum772415 ? 1 : 0);
    const canNest = supportsNesting(device);
    if (canNest !== undefined) nesting.set({ bdf }, canNest ? 1 : 0);
  }
}

/** Adds what a look at the machine found. */
export function addChecks(registry: Registry, checks: readonly HostCheck[]): void {
  new Gauge({
    name: "iommufd_ready",
    help: "Whether nothing that can be seen stands in the way of iommufd with nesting.",
    registers: [registry],
  }).set(isReady(checks) ? 1 : 0);
  const counts = new Gauge({
    name: "iommufd_checks",
    help: "How many checks of a name ended with a status. Checks of a device have its address as their name.",
    labelNames: ["check", "status"],
    registers: [registry],
  });
  for (const check of new Set(checks.map(({ name }) => name)))
    for (const status of STATUSES) counts.set({ check, status }, 0);
  for (const { name, status } of checks) counts.inc({ check: name, status });
}
