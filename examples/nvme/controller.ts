/** A controller: its queues, its namespaces, and what becomes of it when it fails or is closed. */

import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import {
  type Command,
  CREATE_COMPLETION_QUEUE,
  CREATE_SUBMISSION_QUEUE,
  IDENTIFY,
  NUMBER_OF_QUEUES,
  SET_FEATURES,
} from "./commands.ts";
import { NvmeError } from "./errors.ts";
import {
  activeNamespaces,
  type ControllerIdentity,
  controllerIdentity,
  IDENTIFY_ACTIVE_NAMESPACES,
  IDENTIFY_BYTES,
  IDENTIFY_CONTROLLER,
  IDENTIFY_NAMESPACE,
  namespaceIdentity,
} from "./identify.ts";
import { disable, enable, shutDown } from "./lifecycle.ts";
import { Arena, type DmaBuffer } from "./memory.ts";
import { Namespace } from "./namespace.ts";
import { type ControllerOptions, checked } from "./options.ts";
import { Poller } from "./poller.ts";
import { type Done, QueuePair, queueLengths } from "./queue.ts";
import { type Capabilities, capabilities, doorbells, type Registers } from "./registers.ts";
import type { Transport } from "./transport.ts";
import { Watchdog } from "./watchdog.ts";

/** Entries of the admin queue. */
const ADMIN_DEPTH = 32;
/** The most that is moved by one command, in bytes, whatever the controller allows. */
const MOST_TRANSFER = 256 * 1024;

type State = "starting" | "running" | "resetting" | "failed" | "closed";

export class Controller implements AsyncDisposable {
  readonly #transport: Transport;
  readonly #registers: Registers;
  readonly #capabilities: Capabilities;
  readonly #timeout: number;
  readonly #poller: Poller;
  readonly #arena: Arena;
  readonly #watchdog: Watchdog;
  readonly #queues: QueuePair[] = [];
  #admin!: QueuePair;
  /** The queue that is being filled. */
  #current!: QueuePair;
  #identity!: ControllerIdentity;
  #transfer = 0;
  #vectors = 1;
  #state: State = "starting";
  #why = "the controller is closed";
  #resets = 0;
  #recovery: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;

  /** Enables a controller. This ends everything that the controller did before. The transport is closed with it. */
  static async start(transport: Transport, options: ControllerOptions = {}): Promise<Controller> {
    const controller = new Controller(transport, options);
    try {
      await controller.#start(options);
      return controller;
    } catch (error) {
      controller.#end("failed", error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  private constructor(transport: Transport, options: ControllerOptions) {
    this.#transport = transport;
    this.#registers = transport.registers;
    this.#capabilities = capabilities(transport.registers);
    this.#timeout = options.timeout ?? 10_000;
    this.#poller = new Poller(options.completions === "polling" || transport.interrupts === 0);
    this.#arena = new Arena(transport.iommufd, transport.ioas);
    this.#watchdog = new Watchdog(this.#registers, this.#timeout, {
      recover: (why) => this.#recover(why),
      fail: (why) => this.#end("failed", why),
    });
  }

  /** The controller's description of itself. */
  get identity(): ControllerIdentity {
    return this.#identity;
  }

  /** Pairs of I/O queues, entries of each, the most data of one command in bytes, and what notices completions. */
  get configuration() {
    const completions = this.#poller.polling ? "polling" : "interrupts";
    return { queues: this.#queues.length, depth: this.#current.depth, transfer: this.#transfer, completions };
  }

  /** The most data of one command, in bytes. */
  get transfer(): number {
    return this.#transfer;
  }

  /** Whether no command is under way. */
  get idle(): boolean {
    return this.#state !== "resetting" && [this.#admin, ...this.#queues].every((queue) => queue.idle);
  }

  /** How many pieces of memory the controller reaches. */
  get buffers(): number {
    return this.#arena.size;
  }

  /** How often it had to be reset. */
  get resets(): number {
    return this.#resets;
  }

  /** Ids of the namespaces that are attached to the controller. */
  async namespaces(): Promise<number[]> {
    return activeNamespaces(await this.#identify(IDENTIFY_ACTIVE_NAMESPACES, 0));
  }

  /** A namespace. */
  async namespace(id: number): Promise<Namespace> {
    return new Namespace(this, id, namespaceIdentity(await this.#identify(IDENTIFY_NAMESPACE, id)));
  }

  /**
   * Memory that the controller reaches, for the data of commands. It is given back with the controller, or before that by
   * its own `close()`, when no command uses it.
   */
  allocate(length: number): Promise<DmaBuffer> {
    return this.#arena.allocate(length, true);
  }

  /** Hands a command to an I/O queue. When `done` is called the controller does not use its data any more. */
  submit(command: Command, done: Done): void {
    if (this.#closing !== undefined || this.#state === "failed") {
      process.nextTick(done, this.#unusable(), 0);
      return;
    }
    // One queue until it is full: a thread gains nothing from two, and rings fewer doorbells with one.
    if (!this.#current.hasRoom) this.#current = this.#queues.find((queue) => queue.hasRoom) ?? this.#current;
    this.#current.submit(command, done);
  }

  /** {@link submit} of one command, with a promise of Dword 0 of its completion. */
  command(command: Command): Promise<number> {
    return new Promise((resolve, reject) => this.submit(command, settle(resolve, reject)));
  }

  /**
   * Resets the controller. Commands under way end with ERR_NVME_RESET; waiting commands go to it afterwards.
   *
   * @throws NvmeError ERR_NVME_FAILED: it does not work any more
   */
  async reset(): Promise<void> {
    this.#recover("the program asked for it");
    await this.#recovery;
    if (this.#state === "failed") throw this.#unusable();
  }

  /**
   * Lets submitted commands end, has the controller write its caches and shut down, and gives everything back,
   * including memory that was allocated with it.
   *
   * @throws NvmeError ERR_NVME_FAILED: it did not shut down; everything was given back all the same
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #start(options: ControllerOptions): Promise<void> {
    const { nvm, pageSize, entries } = this.#capabilities;
    if (!nvm) throw new NvmeError("ERR_NVME_FAILED", "the controller has no NVM command set");
    const { pageSize: memoryPage } = this.#transport.iommufd;
    if (pageSize > memoryPage)
      throw new NvmeError(
        "ERR_NVME_FAILED",
        `the controller's pages have at least ${pageSize} bytes, and those of memory ${memoryPage}`,
      );
    const { depth, queues: wanted } = checked(options, entries);
    await disable(this.#registers, this.#capabilities);
    // Before there is a queue that interrupts: some controllers settle then whether it does.
    const { interrupts } = this.#transport;
    const vectors = this.#poller.polling
      ? []
      : this.#transport.enableInterrupts(Math.min(wanted + 1, interrupts));
    this.#admin = await this.#makeQueue(0, Math.min(ADMIN_DEPTH, entries), IDENTIFY_BYTES);
    await enable(this.#registers, this.#capabilities, this.#admin);
    this.#identity = controllerIdentity(await this.#identify(IDENTIFY_CONTROLLER, 0));
    this.#transfer = Math.min((this.#identity.transferPages ?? Infinity) * pageSize, MOST_TRANSFER);
    const granted = await this.#requestQueues(wanted);
    const count = this.#poller.polling ? granted : Math.min(granted, Math.max(1, interrupts - 1));
    for (let id = 1; id <= count; id++) this.#queues.push(await this.#makeQueue(id, depth, this.#transfer));
    this.#current = this.#queues[0] as QueuePair;
    if (!this.#poller.polling) this.#listen(vectors.slice(0, count + 1));
    await this.#createQueues();
    this.#run();
  }

  /** How many pairs of I/O queues the controller grants. */
  async #requestQueues(wanted: number): Promise<number> {
    const last = wanted - 1;
    const words = [NUMBER_OF_QUEUES, last | (last << 16)];
    const granted = await this.#setUpCommand({ opcode: SET_FEATURES, words });
    return Math.min(wanted, (granted & 0xffff) + 1, (granted >>> 16) + 1);
  }

  /** One interrupt for each queue, the first for the admin queue; with a single one, that for all. */
  #listen(vectors: readonly AsyncIterable<unknown>[]): void {
    this.#vectors = vectors.length;
    const queues = [this.#admin, ...this.#queues];
    vectors.forEach((vector, index) => {
      const own = queues.filter(({ id }) => id % vectors.length === index);
      this.#poller.listen(vector, own, (error) => this.#end("failed", `its interrupts fail: ${error}`));
    });
  }

  async #makeQueue(id: number, depth: number, transfer: number): Promise<QueuePair> {
    const { pageSize } = this.#capabilities;
    const lengths = queueLengths(depth, pageSize, transfer);
    const queue: QueuePair = new QueuePair({
      id,
      depth,
      pageSize,
      transfer,
      // The controller has no business writing to commands and lists: it can only read them.
      commands: await this.#arena.allocate(lengths.commands, false),
      completions: await this.#arena.allocate(lengths.completions, true),
      registers: this.#registers,
      doorbells: doorbells(this.#capabilities, id),
      polling: this.#poller.polling,
      busy: () => this.#poller.watch(queue),
      confused: (problem) => this.#recover(problem),
    });
    return queue;
  }

  /** Makes the controller know the I/O queues. */
  async #createQueues(): Promise<void> {
    const interrupts = this.#poller.polling ? 0 : 2;
    for (const queue of this.#queues) {
      const { id, depth } = queue;
      const size = id | ((depth - 1) << 16);
      queue.clear();
      // The ring is one range of IOVAs (bit 0); its address stands where that of data would.
      await this.#setUpCommand({
        opcode: CREATE_COMPLETION_QUEUE,
        data: { iova: queue.completionIova, length: 1 },
        words: [size, 1 | interrupts | ((id % this.#vectors) << 16)],
      });
      await this.#setUpCommand({
        opcode: CREATE_SUBMISSION_QUEUE,
        data: { iova: queue.submissionIova, length: 1 },
        words: [size, 1 | (id << 16)],
      });
      queue.start();
    }
  }

  async #identify(structure: number, namespace: number): Promise<Uint8Array> {
    if (this.#closing !== undefined || this.#state === "failed") throw this.#unusable();
    const buffer = await this.#arena.allocate(IDENTIFY_BYTES, true);
    try {
      const data = { iova: buffer.iova, length: IDENTIFY_BYTES };
      const command = { opcode: IDENTIFY, namespace, data, words: [structure] };
      await (this.#state === "starting" ? this.#setUpCommand(command) : this.#adminCommand(command));
      return buffer.bytes.slice(0, IDENTIFY_BYTES);
    } finally {
      buffer.close();
    }
  }

  #adminCommand(command: Command): Promise<number> {
    return new Promise((resolve, reject) => this.#admin.submit(command, settle(resolve, reject)));
  }

  /** An admin command while the controller is set up, when the watchdog does not look after it. */
  async #setUpCommand(command: Command): Promise<number> {
    let timer: NodeJS.Timeout | undefined;
    let answered = false;
    const answer = this.#adminCommand(command).finally(() => {
      answered = true;
    });
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(async () => {
        // An interrupt may have been lost.
        this.#admin.poll();
        await delay(0);
        if (answered) return;
        // Memory of the command is about to be freed.
        this.#transport.block();
        reject(new NvmeError("ERR_NVME_FAILED", "the controller does not answer admin commands"));
      }, this.#timeout);
    });
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #run(): void {
    // The queue may have been given up meanwhile.
    if (this.#state === "failed" || this.#state === "closed") return;
    this.#state = "running";
    this.#watchdog.start(this.#admin, this.#queues);
  }

  /** Resets the controller, and goes on. */
  #recover(why: string): void {
    if (this.#state !== "running") return;
    this.#state = "resetting";
    this.#resets++;
    this.#watchdog.stop();
    this.#recovery = this.#restart(why).then(
      () => this.#run(),
      (error: Error) => this.#end("failed", `${why}; then the reset failed: ${error.message}`),
    );
  }

  async #restart(why: string): Promise<void> {
    const queues = [this.#admin, ...this.#queues];
    for (const queue of queues) queue.stop();
    try {
      await disable(this.#registers, this.#capabilities);
    } catch {
      this.#transport.reset();
      await disable(this.#registers, this.#capabilities);
    }
    // Not before now does the memory of commands belong to the program again.
    const error = new NvmeError("ERR_NVME_RESET", `the controller was reset: ${why}`);
    for (const queue of queues) queue.abandon(error);
    await enable(this.#registers, this.#capabilities, this.#admin);
    await this.#requestQueues(this.#queues.length);
    await this.#createQueues();
  }

  /** Ends everything at once: all DMA, then all commands, then what belongs to them. */
  #end(state: "failed" | "closed", why: string): void {
    if (this.#state === "failed" || this.#state === "closed") return;
    this.#state = state;
    this.#why = why;
    this.#watchdog.stop();
    this.#poller.stop();
    this.#transport.block();
    const queues = this.#admin === undefined ? [] : [this.#admin, ...this.#queues];
    for (const queue of queues) {
      queue.stop();
      queue.abandon(this.#unusable());
      queue.refuse(this.#unusable());
    }
    this.#transport.close();
    this.#arena.close();
  }

  async #close(): Promise<void> {
    while (!this.idle) await delay(1);
    if (this.#state === "failed") return;
    try {
      this.#watchdog.stop();
      await shutDown(this.#registers, this.#identity.shutdownTimeout);
      await disable(this.#registers, this.#capabilities);
    } finally {
      this.#end("closed", this.#why);
    }
  }

  #unusable(): NvmeError {
    return this.#state === "failed"
      ? new NvmeError("ERR_NVME_FAILED", this.#why)
      : new NvmeError("ERR_NVME_CLOSED", "the controller is closed");
  }
}

/** A promise's end, as the end of a command. */
function settle(resolve: (result: number) => void, reject: (error: Error) => void): Done {
  return (error, result) => (error === undefined ? resolve(result) : reject(error));
}
