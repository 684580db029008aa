/** An open VFIO device: the addon's methods, as objects call them. */

import { invalidType } from "../../errors.ts";
import type { RawVfioDeviceFile } from "../raw.ts";
import type { NativeVfioDeviceFile } from "./addon.ts";
import { KernelEventFd } from "./kernel-event-file.ts";
import { nativeIommufd } from "./kernel-iommufd.ts";
import { KernelRegion } from "./kernel-region.ts";

/** A device of the kernel backend. */
export function kernelVfioDevice(native: NativeVfioDeviceFile): RawVfioDeviceFile {
  const methods = native.bound();
  return {
    ...methods,

    bindIommufd: (iommufd) => methods.bindIommufd(nativeIommufd(iommufd)),

    setIrqs({ index, action, start, count, eventFds }) {
      const files = eventFds.map((eventFd) => {
        if (eventFd instanceof KernelEventFd) return eventFd.native;
        throw invalidType("eventFds", "eventfds of the kernel backend", eventFd);
      });
      return methods.setIrqs(index, action, start, count, files);
    },

    mapRegion(position, length, writable) {
      const region = methods.mapRegion(position, length, writable);
      return typeof region === "number" ? region : new KernelRegion(region);
    },
  };
}
