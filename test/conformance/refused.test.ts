/**
 * Each call, refused: the whole error is the same on both backends. The error stands in refusals.ts as a literal, which the model
 * has to give in `npm test`, and the kernel in its lane. A kernel that does not know a call answers ENOTTY, with the same request.
 */

import { constants } from "node:os";
import { describe, expect, it } from "vitest";
import type { IommufdFile } from "../../lib/backend/backend.ts";
import {
  IOMMUFD_IOCTLS,
  type IommufdIoctl,
  SYSTEM_CALLS,
  type Syscall,
  VFIO_IOCTLS,
} from "../../lib/backend/ioctl.ts";
import { KernelBackend } from "../../lib/backend/kernel/kernel-backend.ts";
import { wrap } from "../../lib/backend/wrapper.ts";
import { softwareMachine } from "../../lib/index.ts";
import { backendName, FIRST, machine, PAGE } from "./backend.ts";
import { lacks } from "./iommus.ts";
import { type Case, ON_DEVICE, ON_IOMMUFD, PARTLY_INVALIDATED, type World } from "./refusals.ts";

const { backend } = machine;

const UNKNOWN_IOCTL = "the kernel does not know this ioctl";
/** Calls that fail only on a kernel that does not know them. */
const UNKNOWN = { ioasAlloc: "IOMMU_IOAS_ALLOC", faultQueueAlloc: "IOMMU_FAULT_QUEUE_ALLOC" } as const;

/** An iommufd that does not know an ioctl; as one of the kernel, /dev/null. */
function openWithout(syscall: Syscall): IommufdFile {
  if (backendName === "kernel") return wrap(new KernelBackend({ iommuPath: "/dev/null" })).openIommufd();
  const host = softwareMachine("qemu-vtd");
  host.failNext(syscall, "ENOTTY");
  return host.backend.openIommufd();
}

function openWorld(): World {
  const file = backend.openIommufd();
  return {
    file,
    memory: backend.allocMemory({ length: 4n * PAGE, pageSize: PAGE, anonymous: false }),
    ioasId: file.ioasAlloc(),
    eventFd: backend.createEventFd(),
    device: backend.openVfioDevice(backend.findVfioDevice(FIRST).cdev),
  };
}

function closeWorld({ device, file, eventFd, memory }: World): void {
  for (const each of [device, file, eventFd, memory]) each.close();
}

/** All that there is to an error. */
function wholeError(error: unknown): object {
  expect(error).toBeInstanceOf(Error);
  return { ...(error as Error), message: (error as Error).message };
}

/** The message that an older kernel gives in its place. A kernel without hardware queues maps no iommufd. */
function messageHere(message: string): string {
  const isMmap = message.startsWith("ENXIO");
  const ioctl = isMmap ? "IOMMU_HW_QUEUE_ALLOC" : /IOMMU_\w+/.exec(message)?.[0];
  if (ioctl === undefined) return message;
  const file = backend.openIommufd();
  const known = file.supports(ioctl as IommufdIoctl);
  file.close();
  const older = isMmap ? "ENODEV: no such device" : `ENOTTY: ${UNKNOWN_IOCTL}`;
  return known ? message : message.replace(/^[^,]*/, older);
}

function expected(message: string, request: Case[3]): object {
  const [, code = "", syscall] = /^(\w+): .*?, (\w+)/.exec(message) ?? [];
  const errno = -constants.errno[code as keyof typeof constants.errno];
  return { code, errno, syscall, request, message };
}

/** The outcome of a call: how many were handled, and the error. */
async function outcome(method: () => unknown): Promise<{ done?: number; error: object }> {
  const { done, error } = await (async () => method())().then(
    (value) => value as { done: number; error: unknown },
    (reason) => ({ done: undefined, error: reason as unknown }),
  );
  return { ...(done !== undefined && { done }), error: wholeError(error) };
}

/** The rows of the table that each file has, and what else is tried of it. */
const FILES = [
  {
    kind: "file",
    cases: ON_IOMMUFD,
    others: UNKNOWN,
    rows: { ...IOMMUFD_IOCTLS, mapRegion: SYSTEM_CALLS.mapRegion },
  },
  { kind: "device", cases: ON_DEVICE, others: {}, rows: { ...VFIO_IOCTLS, ...SYSTEM_CALLS } },
] as const;

describe.each(FILES)(`what an open $kind refuses (${backendName})`, ({ kind, cases, others, rows }) => {
  for (const [name, values, message, request, done] of cases) {
    const lacking = message === PARTLY_INVALIDATED && lacks.vtdNesting !== undefined;
    it.skipIf(lacking)(`${name}: ${message}`, async () => {
      for (const method of [name, `${name}Sync`]) {
        const world = openWorld();
        try {
          const file = world[kind] as unknown as Record<string, (...values: unknown[]) => unknown>;
          if (!(method in file)) continue;
          const given = values(world);
          expect(await outcome(() => file[method]?.(...given)), method).toStrictEqual({
            ...(done !== undefined && { done }),
            error: expected(messageHere(message), request),
          });
        } finally {
          closeWorld(world);
        }
      }
    });
  }

  it("is tried of each row of the table, and of each method", () => {
    const world = openWorld();
    const methods = new Set(Object.keys(world[kind]).map((method) => method.replace(/Sync$/, "")));
    closeWorld(world);
    const tried = [...new Set([...cases.map(([method]) => method), ...Object.keys(others)])].sort();
    // ioas-more.test.ts has supports().
    expect(tried).toEqual([...methods].filter((name) => !["close", "fd", "supports"].includes(name)).sort());
    expect(tried.filter((name) => !name.endsWith("Many"))).toEqual(Object.keys(rows).sort());
  });
});

for (const [method, syscall] of Object.entries(UNKNOWN) as [keyof typeof UNKNOWN, Syscall][]) {
  it(`${method} of a kernel that does not know it (${backendName})`, async () => {
    const file = openWithout(syscall);
    const message = `ENOTTY: ${UNKNOWN_IOCTL}, ${syscall}`;
    expect(await outcome(() => file[method]())).toStrictEqual({ error: expected(message, {}) });
    file.close();
  });
}
