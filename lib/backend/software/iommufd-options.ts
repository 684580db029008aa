/** IOMMU_OPTION and IOMMU_VFIO_IOAS: what is set of an iommufd (drivers/iommu/iommufd/main.c, vfio_compat.c). */

import {
  IOMMU_OPTION_HUGE_PAGES,
  IOMMU_OPTION_OP_GET,
  IOMMU_OPTION_OP_SET,
  IOMMU_OPTION_RLIMIT_MODE,
  IOMMU_VFIO_IOAS_CLEAR,
  IOMMU_VFIO_IOAS_GET,
  IOMMU_VFIO_IOAS_SET,
  type IoasId,
} from "../../uapi.ts";
import type { OptionRequest } from "../requests.ts";
import type { ObjectTable } from "./object-table.ts";
import { IoasObject } from "./page-tables.ts";
import { Refusal } from "./refusal.ts";

/** The options of one iommufd. */
export class IommufdOptions {
  readonly #objects: ObjectTable;
  #compatible: IoasObject | undefined;
  readonly #privileged: boolean;
  #chargesProcess = false;

  /** @param privileged CAP_SYS_RESOURCE */
  constructor(objects: ObjectTable, privileged: boolean) {
    this.#objects = objects;
    this.#privileged = privileged;
  }

  /** Whether pinned memory is charged to the process and not to its user. */
  get chargesProcess(): boolean {
    return this.#chargesProcess;
  }

  /** iommufd_option() */
  option({ optionId, op, objectId, value }: OptionRequest): bigint {
    if (optionId === IOMMU_OPTION_RLIMIT_MODE) return this.#rlimitMode(op, objectId, value);
    if (optionId !== IOMMU_OPTION_HUGE_PAGES) throw new Refusal("EOPNOTSUPP");
    const { iopt } = this.#objects.get(objectId, IoasObject);
    if (op === IOMMU_OPTION_OP_GET) return iopt.hugePages ? 1n : 0n;
    if (op !== IOMMU_OPTION_OP_SET) throw new Refusal("EOPNOTSUPP");
    if (value > 1n) throw new Refusal("EINVAL");
    iopt.hugePages = value === 1n;
    return value;
  }

  /** iommufd_vfio_ioas() */
  vfioIoas(op: number, ioasId: number): IoasId {
    if (op === IOMMU_VFIO_IOAS_GET) {
      if (this.#compatible === undefined || this.#objects.find(this.#compatible.id) !== this.#compatible) {
        throw new Refusal("ENODEV");
      }
      return this.#compatible.id as IoasId;
    }
    if (op === IOMMU_VFIO_IOAS_SET) this.#compatible = this.#objects.get(ioasId, IoasObject);
    else if (op === IOMMU_VFIO_IOAS_CLEAR) this.#compatible = undefined;
    else throw new Refusal("EOPNOTSUPP");
    return ioasId as IoasId;
  }

  /** iommufd_option_rlimit_mode() */
  #rlimitMode(op: number, objectId: number, value: bigint): bigint {
    if (objectId !== 0) throw new Refusal("EOPNOTSUPP");
    if (op === IOMMU_OPTION_OP_GET) return this.#chargesProcess ? 1n : 0n;
    if (op !== IOMMU_OPTION_OP_SET) throw new Refusal("EOPNOTSUPP");
    if (!this.#privileged) throw new Refusal("EPERM");
    if (!this.#objects.empty) throw new Refusal("EBUSY");
    if (value > 1n) throw new Refusal("EINVAL");
    this.#chargesProcess = value === 1n;
    return value;
  }
}
