// One of the two that are compared: an iommufd, its devices and objects, and memory.

import process from "node:process";
import { isSystemError } from "../../../dist/errors.js";
import { Iommufd } from "../../../dist/index.js";
import { DmaMemory } from "../../../dist/iommufd/dma-memory.js";
import { MEMORY_LENGTH, PAGE } from "./draw.js";

/** @typedef {import("../../../dist/backend/select.js").SelectedBackend} SelectedBackend */
/** @typedef {import("../../../dist/backend/handles.js").BackendMemory} BackendMemory */

/** The ids of a user without privileges, and of the one who may open files. */
const NOBODY = 65534;

export class Side {
  #selected;
  #ordinary;
  /** Files by PCI address, opened when they are first used. */
  #devices = new Map();
  /** Files to close at the end. */
  #opened = [];
  /** Queues and eventfds, in the order in which they were made. */
  queues = [];
  eventFds = [];
  /** Objects of the library, in the order in which they were made. */
  objects = { ioas: [], hwpt: [], device: [], memory: [], faultQueue: [] };

  /**
   * @param {SelectedBackend} selected
   * @param {BackendMemory} memory
   * @param {readonly string[]} bdfs
   * @param {boolean} ordinary whether the program is without privileges from now on, until this side is closed
   */
  constructor(selected, memory, bdfs, ordinary) {
    this.#selected = selected;
    this.#ordinary = ordinary && selected.backend.name === "kernel";
    this.memory = memory;
    this.dmaMemory = new DmaMemory(memory, MEMORY_LENGTH, PAGE);
    this.bdfs = bdfs;
    this.open();
    if (this.#ordinary) process.seteuid(NOBODY);
  }

  /** A new iommufd in the place of the one before, which devices may keep. */
  open() {
    this.file?.close();
    this.file = this.asRoot(() => this.#selected.backend.openIommufd());
    this.iommufd = new Iommufd(this.#selected, this.file);
    this.objects = { ioas: [], hwpt: [], device: [], memory: [], faultQueue: [] };
  }

  createEventFd() {
    const eventFd = this.#selected.backend.createEventFd();
    this.#opened.push(eventFd);
    return eventFd;
  }

  /** @param {number} index */
  device(index) {
    const bdf = this.bdfs[index % this.bdfs.length];
    let device = this.#devices.get(bdf);
    if (device === undefined) {
      const { backend } = this.#selected;
      device = this.asRoot(() => backend.openVfioDevice(backend.findVfioDevice(bdf).cdev));
      this.#devices.set(bdf, device);
    }
    return device;
  }

  /** @param {number} index */
  closeDevice(index) {
    const bdf = this.bdfs[index % this.bdfs.length];
    this.#devices.get(bdf)?.close();
    this.#devices.delete(bdf);
  }

  /** Files are opened by root, whoever uses them. */
  asRoot(body) {
    if (!this.#ordinary) return body();
    process.seteuid(0);
    try {
      return body();
    } finally {
      process.seteuid(NOBODY);
    }
  }

  /** The outcome of a call, as far as both sides have to agree; a promise for an asynchronous call. */
  outcome(call) {
    try {
      const result = call(this);
      return result instanceof Promise
        ? result.then((value) => value ?? "done").catch(failure)
        : (result ?? "done");
    } catch (error) {
      return failure(error);
    }
  }

  close() {
    if (this.#ordinary) process.seteuid(0);
    for (const device of this.#devices.values()) device.close();
    for (const queue of this.queues) queue.close();
    this.iommufd.close();
    for (const each of this.#opened) each.close();
  }
}

/** The words for a failure: code and call of a system error, the message of the library's own. */
function failure(error) {
  if (isSystemError(error)) return `${error.code} ${error.syscall}`;
  if (typeof error?.code === "string" && error.code.startsWith("ERR_"))
    return `${error.code} ${error.message}`;
  throw error;
}
