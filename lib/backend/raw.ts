/**
 * The kernel's backend and the model by themselves: the methods of backend.ts, which answer -errno if they are refused.
 * The wrapper (wrapper.ts) makes the backend that objects use.
 */

import type { DeviceId } from "../uapi.ts";
import type { Backend, IommufdFile, VfioDeviceFile } from "./backend.ts";
import type { IommufdCall } from "./ioctl.ts";
import type { BatchOutcome } from "./requests.ts";

/** A negative Linux error number, in place of a result. No result is a negative number. */
export type Errno = number;

/** How a call for many things ended: how many were handled, and 0 or the -errno of the one that was refused. */
export interface BatchStatus {
  done: number;
  status: number;
}

/** The answer in place of `Result`. */
export type Answer<Result> =
  Result extends Promise<infer Value>
    ? Promise<Answer<Value>>
    : Result extends BatchOutcome
      ? BatchStatus | Errno
      : Result | Errno;

/** Methods with their answers. */
type Answering<File> = {
  [Name in keyof File]: File[Name] extends (...values: infer Values) => infer Result
    ? (...values: Values) => Answer<Result>
    : never;
};

/** Methods that a backend may lack: asynchronous ones, which their twins replace, and methods for many things. */
type Spare<File> = {
  [Name in keyof File & string]: `${Name}Sync` extends keyof File
    ? Name
    : Name extends `${string}ManySync`
      ? Name
      : never;
}[keyof File & string];

type RawFile<File, Own> = Omit<Answering<File>, Spare<File> | keyof Own> &
  Partial<Pick<Answering<File>, Spare<File>>> &
  Own;

/** An iommufd. It is asked for an ioctl by its row, and, where it has no calls for many things, whether it is open. */
export type RawIommufdFile = RawFile<
  IommufdFile,
  Pick<IommufdFile, "fd" | "close"> & { supports(ioctl: IommufdCall): boolean | Errno; assertOpen?(): void }
>;

/** A device. */
export type RawVfioDeviceFile = RawFile<
  VfioDeviceFile,
  Pick<VfioDeviceFile, "fd" | "close"> & { bindIommufd(iommufd: RawIommufdFile): DeviceId | Errno }
>;

/** A backend. */
export interface RawBackend extends Omit<Backend, `open${string}`> {
  openIommufd(): RawIommufdFile;
  openIommufdFd(fd: number): RawIommufdFile;
  openVfioDevice(cdev: string): RawVfioDeviceFile;
  openVfioDeviceFd(fd: number): RawVfioDeviceFile;
}
