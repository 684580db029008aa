/**
 * The backend that objects use, around the kernel's or the model. Refused calls throw system errors that name the arguments.
 * Calls fail if a test wants this. Every ioctl is published on the tracing channel `iommufd:ioctl` of `node:diagnostics_channel`.
 *
 * The messages are those of a tracing channel (`start`, `end`, `asyncStart`, `asyncEnd`, `error`), with an {@link IoctlTrace} as
 * context. Without a subscriber a call costs one check.
 */

import { tracingChannel } from "node:diagnostics_channel";
import { outOfRange, systemError } from "../errors.ts";
import type { IoasId } from "../uapi.ts";
import type { Backend, IommufdFile, VfioDeviceFile } from "./backend.ts";
import { mapMany, type SingleCalls, unmapMany } from "./batch.ts";
import type { Failures } from "./failures.ts";
import {
  type Call,
  IOMMUFD_IOCTLS,
  type Ioctl,
  type IommufdCall,
  type IommufdIoctl,
  SYSTEM_CALLS,
  VFIO_IOCTLS,
} from "./ioctl.ts";
import type { BatchStatus, RawBackend, RawIommufdFile, RawVfioDeviceFile } from "./raw.ts";
import type { BatchOutcome, IoasMapManyRequest } from "./requests.ts";

/** The content of messages of `tracing:iommufd:ioctl:*`. */
export interface IoctlTrace {
  /** The ioctl: "IOMMU_IOAS_MAP". */
  syscall: Ioctl;
  /** Its arguments, in the order of the method of lib/backend/backend.ts. */
  arguments: readonly unknown[];
  /** Its result; set once it has returned. */
  result?: unknown;
  /** Its error; set once it has thrown. */
  error?: unknown;
}

const channel = tracingChannel<string, IoctlTrace>("iommufd:ioctl");

/** No method has more arguments. An array of them for each call would cost more than all the rest. */
type Method = (a?: unknown, b?: unknown, c?: unknown) => unknown;
type Methods = Readonly<Record<string, Method | undefined>>;

/** Makes of an answer what a method returns or throws. */
type Settle = (call: Call, answer: unknown, a: unknown, b: unknown, c: unknown) => unknown;

/**
 * The calls of a file that go into the kernel: a row for each method. Their twins, and methods for many things, have
 * the same.
 */
type CallsOf<File> = Readonly<
  Record<Exclude<keyof File, "close" | "fd" | "supports" | `${string}Sync` | `${string}Many`>, Call>
>;

const IOMMUFD_CALLS: CallsOf<IommufdFile> = { ...IOMMUFD_IOCTLS, mapRegion: SYSTEM_CALLS.mapRegion };
/** Calls other than ioctls. */
const UNPUBLISHED: ReadonlySet<Call> = new Set(Object.values(SYSTEM_CALLS));
const VFIO_CALLS: CallsOf<VfioDeviceFile> = { ...VFIO_IOCTLS, ...SYSTEM_CALLS };

/**
 * Makes what objects use of a backend.
 *
 * @param failures what is to fail; absent: nothing
 */
export function wrap(raw: RawBackend, failures?: Failures): Backend {
  const originals = new WeakMap<IommufdFile, RawIommufdFile>();
  return {
    name: raw.name,
    profile: raw.profile,
    memlock: raw.memlock,
    kernelRelease: raw.kernelRelease,
    pageSize: raw.pageSize,
    vfioDevices: () => raw.vfioDevices(),
    findVfioDevice: (bdf) => raw.findVfioDevice(bdf),
    deviceUse: (bdf) => raw.deviceUse(bdf),
    allocMemory: (request) => raw.allocMemory(request),
    createEventFd: () => raw.createEventFd(),
    openIommufd: () => wrapIommufd(raw.openIommufd()),
    openIommufdFd: (fd) => wrapIommufd(raw.openIommufdFd(fd)),
    openVfioDevice: (cdev) => wrapDevice(raw.openVfioDevice(cdev)),
    openVfioDeviceFd: (fd) => wrapDevice(raw.openVfioDeviceFd(fd)),
  };

  function wrapIommufd(file: RawIommufdFile): IommufdFile {
    const methods = methodsOf(file, IOMMUFD_CALLS, failures);
    // A backend without a call for many things makes one after the other.
    const single = { ...methods, assertOpen: () => file.assertOpen?.() } as unknown as SingleCalls;
    const many: Methods = {
      ioasMapManySync: (request) => mapMany(single, request as IoasMapManyRequest),
      ioasUnmapManySync: (ioasId, iovas, lengths) =>
        unmapMany(single, ioasId as IoasId, iovas as BigUint64Array, lengths as BigUint64Array),
    };
    const wrapped = {
      ...wrapFile<IommufdFile>(file, IOMMUFD_CALLS, { ...many, ...methods }),
      supports: (ioctl: IommufdIoctl) => supports(file, ioctl),
    };
    originals.set(wrapped, file);
    return wrapped;
  }

  function wrapDevice(file: RawVfioDeviceFile): VfioDeviceFile {
    const { bindIommufd: bind, ...methods } = methodsOf(file, VFIO_CALLS, failures);
    // A backend knows its own file, not the one around it.
    const bindIommufd: Method = (iommufd) => bind?.(originals.get(iommufd as IommufdFile) ?? iommufd);
    return wrapFile<VfioDeviceFile>(file, VFIO_CALLS, { ...methods, bindIommufd });
  }
}

/** The methods of a file by their names, or what they are to fail with in their place. */
function methodsOf(file: object, calls: Readonly<Record<string, Call>>, failures?: Failures): Methods {
  const methods: Record<string, Method> = {};
  for (const [name, { name: syscall }] of Object.entries(calls)) {
    for (const suffix of ["", "Sync", "Many", "ManySync"]) {
      const method = (file as Methods)[name + suffix]?.bind(file);
      if (method === undefined) continue;
      methods[name + suffix] =
        failures === undefined ? method : (a, b, c) => failures.take(syscall) ?? method(a, b, c);
    }
  }
  return methods;
}

/** A file whose methods publish what they do, and throw where they are refused. */
function wrapFile<File extends { fd(): number; close(): void }>(
  file: Pick<File, "fd" | "close">,
  calls: Readonly<Record<string, Call>>,
  methods: Methods,
): File {
  const wrapped: Record<string, Method> = { fd: () => file.fd(), close: () => file.close() };
  const add = (name: string, call: Call, settle: Settle) => {
    const sync = methods[`${name}Sync`];
    if (sync !== undefined) wrapped[`${name}Sync`] = published(call, settle, sync);
    const method = methods[name] ?? sync;
    if (method === undefined) return;
    wrapped[name] = sync ? publishedAsync(call, settle, method) : published(call, settle, method);
  };
  for (const [name, call] of Object.entries(calls)) {
    add(name, call, call.many ? outcomeOf : resultOf);
    add(`${name}Many`, call, outcomeOf);
  }
  return wrapped as unknown as File;
}

function published(call: Call, settle: Settle, method: Method): Method {
  const single = settle === resultOf;
  const made: Method = (a, b, c) => {
    const answer = method(a, b, c);
    // Most answers are results as they are. A mapping takes a tenth longer where settle() finds that out.
    return single && typeof answer !== "number" ? answer : settle(call, answer, a, b, c);
  };
  if (UNPUBLISHED.has(call)) return made;
  return (a, b, c) =>
    channel.hasSubscribers
      ? channel.traceSync(made, context(call.name, a, b, c), undefined, a, b, c)
      : made(a, b, c);
}

function publishedAsync(call: Call, settle: Settle, method: Method): Method {
  const made = async (a?: unknown, b?: unknown, c?: unknown) => settle(call, await method(a, b, c), a, b, c);
  return (a, b, c) =>
    channel.hasSubscribers
      ? channel.tracePromise(made, context(call.name, a, b, c), undefined, a, b, c)
      : made(a, b, c);
}

function context(syscall: string, ...values: unknown[]): IoctlTrace {
  while (values.length > 0 && values.at(-1) === undefined) values.pop();
  return { syscall: syscall as Ioctl, arguments: values };
}

/** The result of a method, or the system error that it throws. */
const resultOf: Settle = (call, answer, a, b, c) => {
  if (typeof answer === "number" && answer < 0) throw systemError(answer, call.name, asked(call, [a, b, c]));
  return answer;
};

/** The same for a call for many things, which says how many were handled. */
const outcomeOf: Settle = (call, answer, a, b, c): BatchOutcome => {
  const { done, status } = typeof answer === "number" ? { done: 0, status: answer } : (answer as BatchStatus);
  if (status >= 0) return { done };
  return { done, error: systemError(status, call.name, asked(call, [a, b, c], done)) };
};

/**
 * The arguments that an error names.
 *
 * @param index which of many things was refused; with lists, the number of the entry
 */
function asked(call: Call, values: readonly unknown[], index?: number): Record<string, unknown> {
  const [request] = values;
  const told: Record<string, unknown> = {};
  if (index !== undefined) told["index"] = index;
  if (call.feature !== undefined) told["feature"] = call.feature;
  for (const [position, name] of call.arguments.entries()) {
    const value = isRequest(request) ? (request[name] ?? request[`${name}s`]) : values[position];
    const one =
      value instanceof BigUint64Array
        ? value[index ?? 0]
        : value instanceof Uint8Array
          ? value.length
          : value;
    // Objects, such as memory, say nothing in a line.
    if (one !== undefined && typeof one !== "object") told[name] = one;
  }
  return told;
}

function isRequest(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function supports(file: RawIommufdFile, name: IommufdIoctl): boolean {
  const ioctl = Object.values<IommufdCall>(IOMMUFD_IOCTLS).find((each) => each.name === name);
  if (ioctl === undefined) throw outOfRange("ioctl", 'an ioctl of an iommufd such as "IOMMU_IOAS_MAP"', name);
  const answer = file.supports(ioctl);
  if (typeof answer === "number") throw systemError(answer, ioctl.name);
  return answer;
}
