/**
 * Where a report is from: who answered, on which machine, when, and which release of this package wrote it. Every document
 * begins with these fields, every page and every text says the same.
 */

import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import type { z } from "zod";
import { schema } from "./lazy.ts";
import { PACKAGE } from "./package.ts";

/** The fields of {@link Origin}, to read them again. */
export const originFields = schema((z) =>
  z.object({
    /** The kernel, or a model of one ("software"); null: no IOMMU was asked. */
    backend: z.enum(["kernel", "software"]).nullable(),
    /** Why this backend; null where no IOMMU was asked. */
    backendReason: z.string().nullable(),
    /** The machine that was modelled; null where none was. */
    profile: z.string().nullable(),
    /** The machine that was asked; null if there was none, or if its name is unknown. */
    hostName: z.string().nullable(),
    /** The kernel that was asked: "6.12.48-amd64"; null if there was none, or if it is unknown. */
    kernelRelease: z.string().nullable(),
    /** The Linux that the model answered as: "7.2"; null if no model answered, or models of several machines did. */
    modelledKernelRelease: z.string().nullable(),
    /** When, in UTC: "2026-11-26T00:40:14Z". */
    time: z.string(),
    /** Version of this package. */
    iommufdVersion: z.string(),
  }),
);

/** The fields that every document has: who answered, and when. */
export interface Origin extends Readonly<z.output<ReturnType<typeof originFields>>> {}

/** An iommufd, as the source of answers. */
export interface Answerer {
  readonly backend: "kernel" | "software";
  readonly backendReason: string;
  readonly profile: string | undefined;
  /** The Linux that answers, or that is modelled; undefined if there are several. */
  readonly kernelRelease: string | undefined;
}

/** Version of this package. */
export const VERSION: string = JSON.parse(readFileSync(new URL("package.json", PACKAGE), "utf8")).version;

const NOBODY = {
  backend: null,
  backendReason: null,
  profile: null,
  hostName: null,
  kernelRelease: null,
  modelledKernelRelease: null,
};

/**
 * The origin of what an iommufd answered.
 *
 * @param answerer undefined: no IOMMU was asked
 * @param now for tests, to compare documents
 */
export function originOf(answerer: Answerer | undefined, now = new Date()): Origin {
  if (answerer === undefined) return { ...NOBODY, ...written(now) };
  const { backend, backendReason, profile = null, kernelRelease = null } = answerer;
  const isKernel = backend === "kernel";
  return {
    backend,
    backendReason,
    profile,
    hostName: isKernel ? named(hostname()) : null,
    kernelRelease: isKernel ? kernelRelease : null,
    modelledKernelRelease: isKernel ? null : kernelRelease,
    ...written(now),
  };
}

/** A machine whose files were read, or a recorded tree of them. */
export interface ReadMachine {
  /** "/", or where the tree is. */
  readonly root: string;
  readonly hostName: string | undefined;
  readonly kernelRelease: string | undefined;
}

/**
 * The origin of what was read in a machine's files, without asking for an iommufd.
 *
 * @param now for tests, to compare documents
 */
export function originOfMachine(machine: ReadMachine, now = new Date()): Origin {
  const { root, hostName = null, kernelRelease = null } = machine;
  return {
    ...NOBODY,
    ...(root === "/"
      ? { backend: "kernel", backendReason: "no device was opened" }
      : { backendReason: `recorded tree ${root}` }),
    hostName: named(hostName),
    kernelRelease,
    ...written(now),
  };
}

/** Linux's name for a machine without a name. */
function named(hostName: string | null): string | null {
  return hostName === "(none)" ? null : hostName;
}

function written(now: Date): Pick<Origin, "time" | "iommufdVersion"> {
  return { time: now.toISOString().replace(/\.\d+Z$/, "Z"), iommufdVersion: VERSION };
}
