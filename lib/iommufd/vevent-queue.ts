/**
 * Events of a virtual IOMMU: its hardware would report these to the guest.
 */

import { checkU32, knownOptions } from "../arguments.ts";
import type { IommufdFile } from "../backend/backend.ts";
import type { VeventQueueFile } from "../backend/handles.ts";
import { outOfRange } from "../errors.ts";
import {
  IOMMU_VEVENTQ_FLAG_LOST_EVENTS,
  IOMMU_VEVENTQ_TYPE_ARM_SMMUV3,
  IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV,
  type VeventQueueId,
  type VeventRecord,
  type ViommuId,
} from "../uapi.ts";
import { EventStream } from "./event-stream.ts";
import type { Resource } from "./resource.ts";

/** How many events are read at once. */
const FEW = 64;

/** Sequence numbers go from 0 to 2^31-1 and over again. */
const SEQUENCES = 2 ** 31;

/** Which events a queue is for. */
export type VeventQueueType =
  | "arm-smmuv3"
  | "tegra241-cmdqv"
  /** One that is not known here: IOMMU_VEVENTQ_TYPE_*, and how long its events are, in bytes. */
  | { readonly type: number; readonly dataLength: number };

/** The queue that {@link Viommu.allocVeventQueue} makes. */
export interface VeventQueueOptions {
  /** Which events; each vIOMMU has one queue of a type. */
  type: VeventQueueType;
  /** How many events the kernel keeps until they are read; more events are lost. From 1 to 2^19. */
  depth: number;
}

/** @internal */
export const VEVENT_QUEUE_OPTIONS = knownOptions<VeventQueueOptions>({ type: "other", depth: "other" });

/** The common part of events. */
interface VeventHeader {
  /** The number of this event. */
  readonly sequence: number;
  /** How many events were lost right before this one. */
  readonly lost: number;
}

/** An event record of an SMMU (Arm SMMUv3 architecture, section 7.3), with the guest's own stream id. */
export interface SmmuEvent extends VeventHeader {
  /** IOMMU_VEVENTQ_TYPE_ARM_SMMUV3 */
  readonly type: "arm-smmuv3";
  /** Number of the event: 0x10 is F_TRANSLATION. */
  readonly eventId: number;
  /** The guest's stream id. */
  readonly streamId: number;
  /** The substream id (PASID); undefined where it is not valid. */
  readonly substreamId: number | undefined;
  /** The whole record, four double words. */
  readonly record: readonly [bigint, bigint, bigint, bigint];
}

/** Which virtual command queues of a Tegra241 CMDQV have an error (register LVCMDQ_ERR_MAP of its VINTF). */
export interface Tegra241CmdqvEvent extends VeventHeader {
  /** IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV */
  readonly type: "tegra241-cmdqv";
  /** A bit a queue, the lowest first, 64 each. */
  readonly errorMap: readonly [bigint, bigint];
}

/** An event of a type that is not known here. */
export interface RawEvent extends VeventHeader {
  /** Its number, enum iommu_veventq_type. */
  readonly type: number;
  /** The data of the driver, as bytes. */
  readonly data: Uint8Array;
}

/** The queue was full: `lost` events were lost and none has come since. */
export interface LostEvents extends VeventHeader {
  /** IOMMU_VEVENTQ_FLAG_LOST_EVENTS */
  readonly type: "lost";
}

/** An event that a {@link VeventQueue} yields, of a kind by `type`. */
export type Vevent = SmmuEvent | Tegra241CmdqvEvent | RawEvent | LostEvents;

const TYPES = {
  "arm-smmuv3": { type: IOMMU_VEVENTQ_TYPE_ARM_SMMUV3, dataLength: 32 },
  "tegra241-cmdqv": { type: IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV, dataLength: 16 },
} as const;

/** The events of a vIOMMU, of one type. Made by {@link Viommu.allocVeventQueue}. */
export class VeventQueue extends EventStream<Vevent> {
  /** Its object id. */
  readonly id: VeventQueueId;
  readonly #iommufd: IommufdFile;
  readonly #file: VeventQueueFile;
  readonly #type: number;
  readonly #dataLength: number;
  #previous = -1;

  /** @internal */
  constructor(
    iommufd: IommufdFile,
    parent: Resource,
    viommuId: ViommuId,
    { type: name, depth }: VeventQueueOptions,
  ) {
    const known = typeof name === "string" ? TYPES[name] : name;
    if (typeof known !== "object" || known === null)
      throw outOfRange("type", '"arm-smmuv3", "tegra241-cmdqv", or a type and its data length', name);
    const type = checkU32(known.type, "type");
    const dataLength = checkU32(known.dataLength, "dataLength");
    if (dataLength > 4096) throw outOfRange("dataLength", "an integer from 0 to 4096", dataLength);
    const file = iommufd.veventqAlloc(viommuId, type, checkU32(depth, "depth"));
    super(file, parent);
    this.id = file.id;
    this.#iommufd = iommufd;
    this.#file = file;
    this.#type = type;
    this.#dataLength = dataLength;
  }

  protected override take(): Vevent[] {
    return this.#file.read(this.#dataLength, FEW).map((record) => this.#event(record));
  }

  /** The kernel keeps the queue for as long as its descriptor is open. */
  protected override release(whole: boolean): void {
    super.release(whole);
    if (!whole) this.#iommufd.destroy(this.id);
  }

  #event({ flags, sequence, data }: VeventRecord): Vevent {
    const distance = (sequence - this.#previous + SEQUENCES) % SEQUENCES;
    this.#previous = sequence;
    // The number of such a header is that of the last event that was lost.
    if (flags & IOMMU_VEVENTQ_FLAG_LOST_EVENTS) return { type: "lost", sequence, lost: distance };
    const header = { sequence, lost: distance - 1 };
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const word = (index: number) => view.getBigUint64(index * 8, true);
    if (this.#type === IOMMU_VEVENTQ_TYPE_ARM_SMMUV3) {
      return { type: "arm-smmuv3", ...header, ...smmuEvent([word(0), word(1), word(2), word(3)]) };
    }
    if (this.#type === IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV) {
      return { type: "tegra241-cmdqv", ...header, errorMap: [word(0), word(1)] };
    }
    return { type: this.#type, ...header, data };
  }
}

/** The fields that all records have: bits 7:0 the number, 11 SSV, 31:12 SubstreamID, 63:32 StreamID. */
function smmuEvent(
  record: SmmuEvent["record"],
): Pick<SmmuEvent, "eventId" | "streamId" | "substreamId" | "record"> {
  const [first] = record;
  return {
    eventId: Number(first & 0xffn),
    streamId: Number(first >> 32n),
    substreamId: (first >> 11n) & 1n ? Number((first >> 12n) & 0xf_ffffn) : undefined,
    record,
  };
}
