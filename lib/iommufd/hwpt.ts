/**
 * Hardware page tables.
 */

import { checkU32, checkU64 } from "../arguments.ts";
import type { HwptAllocRequest, IommufdFile } from "../backend/backend.ts";
import type { HwptId, HwptVtdS1 } from "../backend/uapi.ts";
import { invalidType } from "../errors.ts";
import { Device } from "./device.ts";
import { PageTable } from "./page-table.ts";
import type { Resource } from "./resource.ts";

/**
 * A hardware page table (HWPT): what an IOMMU walks. Made by {@link Ioas.allocHwpt}, or from a nest parent by
 * {@link Hwpt.allocNested}. Closing it detaches the devices attached to it and destroys it.
 */
export class Hwpt extends PageTable {
  override readonly id: HwptId;
  readonly #file: IommufdFile;

  /** @internal */
  constructor(file: IommufdFile, parent: Resource, id: HwptId) {
    super(parent);
    this.#file = file;
    this.id = id;
  }

  /**
   * Allocates a nested HWPT: a guest's first-stage page table on top of this one, which must be a nest parent.
   *
   * @param device a device behind the IOMMU that is to walk it
   * @param vtdS1 where the guest's page table is (struct iommu_hwpt_vtd_s1)
   * @throws SystemError EINVAL: this is no nest parent; EOPNOTSUPP: the IOMMU cannot nest
   */
  async allocNested(device: Device, vtdS1: HwptVtdS1): Promise<Hwpt> {
    return this.#nested(await this.#file.hwptAlloc(this.#nestedRequest(device, vtdS1)));
  }

  /** {@link allocNested}, on this thread. */
  allocNestedSync(device: Device, vtdS1: HwptVtdS1): Hwpt {
    return this.#nested(this.#file.hwptAllocSync(this.#nestedRequest(device, vtdS1)));
  }

  protected override release(whole: boolean): void {
    if (whole) return;
    this.detachAll();
    this.#file.destroy(this.id);
  }

  #nestedRequest(device: Device, vtdS1: HwptVtdS1): HwptAllocRequest {
    this.assertOpen();
    const { id } = this.checkPeer(device, Device, "device");
    if (typeof vtdS1 !== "object" || vtdS1 === null) throw invalidType("vtdS1", "an object", vtdS1);
    checkU64(vtdS1.flags, "vtdS1.flags");
    checkU64(vtdS1.pgtblAddr, "vtdS1.pgtblAddr");
    checkU32(vtdS1.addrWidth, "vtdS1.addrWidth");
    return { deviceId: id, ptId: this.id, flags: 0, vtdS1 };
  }

  #nested(id: HwptId): Hwpt {
    return new Hwpt(this.#file, this, id);
  }
}
