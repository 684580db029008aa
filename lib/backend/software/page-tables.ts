/**
 * What a device is attached to: hardware page tables, and the address spaces and IOMMUs behind them
 * (drivers/iommu/iommufd/hw_pagetable.c, drivers/iommu/intel/).
 */

import type { HwptVtdS1 } from "../uapi.ts";
import { AddressSpace, type Domain } from "./address-space.ts";
import { KernelObject } from "./object-table.ts";
import type { DomainProfile, IommuProfile } from "./profile.ts";
import { Refusal } from "./refusal.ts";

/** ERRATA_772415_SPR17 as this IOMMU reports it. */
function hasErratum(iommu: IommuProfile): boolean {
  return iommu.hwInfo.type === "intel-vtd" && iommu.hwInfo.flags.includes("ERRATA_772415_SPR17");
}

/** IOMMUFD_OBJ_IOAS */
export class IoasObject extends KernelObject {
  readonly space: AddressSpace;
  /** The page tables made for it, in order. */
  readonly hwpts: PagingHwptObject[] = [];

  constructor(pageSize: number) {
    super();
    this.space = new AddressSpace(pageSize);
  }

  override destroy(): void {}
}

/** How a paging HWPT was asked for. */
export interface PagingHwptOptions {
  nestParent: boolean;
  dirtyTracking: boolean;
  /** Made by attaching a device to an IOAS, and destroyed with its last attachment. */
  automatic: boolean;
}

/** IOMMUFD_OBJ_HWPT_PAGING */
export class PagingHwptObject extends KernelObject implements Domain {
  readonly ioas: IoasObject;
  readonly iommu: IommuProfile;
  readonly options: PagingHwptOptions;
  readonly profile: DomainProfile;
  readonly forceWriteable: boolean;

  /** iommufd_hwpt_paging_alloc(): EOPNOTSUPP, or whatever adding the domain to the address space answers. */
  constructor(ioas: IoasObject, iommu: IommuProfile, options: PagingHwptOptions) {
    super();
    this.ioas = ioas;
    this.iommu = iommu;
    this.options = options;
    this.profile = domainFor(iommu, options);
    this.forceWriteable = options.nestParent && hasErratum(iommu);
    ioas.space.addDomain(this);
    ioas.users++;
    ioas.hwpts.push(this);
  }

  /** The domain that has the mappings: itself. */
  get paging(): PagingHwptObject {
    return this;
  }

  /** Whether a device behind an IOMMU can use it: paging_domain_compatible(). */
  checkCompatible(iommu: IommuProfile): void {
    if (iommu === this.iommu) return;
    if (iommu.hwInfo.type !== this.iommu.hwInfo.type) throw new Refusal("EINVAL");
    const { nestParent, dirtyTracking } = iommu.domains;
    if (this.options.nestParent && nestParent === undefined) throw new Refusal("EINVAL");
    if (this.options.dirtyTracking && dirtyTracking === undefined) throw new Refusal("EINVAL");
    const theirs = domainFor(iommu, this.options);
    if (theirs.aperture.last < this.profile.aperture.last) throw new Refusal("EINVAL");
    if (!this.profile.pageSizes.every((size) => theirs.pageSizes.includes(size))) throw new Refusal("EINVAL");
  }

  override destroy(): void {
    this.ioas.hwpts.splice(this.ioas.hwpts.indexOf(this), 1);
    this.ioas.space.removeDomain(this);
    this.ioas.users--;
  }
}

/** IOMMUFD_OBJ_HWPT_NESTED */
export class NestedHwptObject extends KernelObject {
  readonly parent: PagingHwptObject;
  readonly data: HwptVtdS1;

  /** iommufd_hwpt_nested_alloc(), intel_iommu_domain_alloc_nested() */
  constructor(parent: PagingHwptObject, iommu: IommuProfile, data: HwptVtdS1) {
    super();
    if (iommu.hwInfo.type !== "intel-vtd") throw new Refusal("EOPNOTSUPP");
    if (parent.options.automatic || !parent.options.nestParent) throw new Refusal("EINVAL");
    if (iommu.domains.nestParent === undefined) throw new Refusal("EOPNOTSUPP");
    this.parent = parent;
    this.data = data;
    parent.users++;
  }

  /** The domain that has the mappings: the parent's. */
  get paging(): PagingHwptObject {
    return this.parent;
  }

  /** intel_nested_attach_dev(), intel_pasid_setup_nested() */
  checkCompatible(iommu: IommuProfile): void {
    this.parent.checkCompatible(iommu);
    if (iommu.hwInfo.type !== "intel-vtd") throw new Refusal("EINVAL");
    const { capReg, ecapReg } = iommu.hwInfo;
    const has = (register: bigint, bit: bigint) => ((register >> bit) & 1n) === 1n;
    const widths = has(capReg, 60n) ? [48, 57] : [48]; // CAP.FS5LP
    if (!widths.includes(this.data.addrWidth)) throw new Refusal("EINVAL");
    if (has(this.data.flags, 0n) && !has(ecapReg, 31n)) throw new Refusal("EINVAL"); // SRE needs ECAP.SRS
    if (has(this.data.flags, 1n) && !has(ecapReg, 34n)) throw new Refusal("EINVAL"); // EAFE needs ECAP.EAFS
  }

  override destroy(): void {
    this.parent.users--;
  }
}

/** Either kind. */
export type HwptObject = PagingHwptObject | NestedHwptObject;

function domainFor(
  { domains }: IommuProfile,
  options: Pick<PagingHwptOptions, "nestParent" | "dirtyTracking">,
): DomainProfile {
  const { plain, nestParent, dirtyTracking } = domains;
  if (options.dirtyTracking && dirtyTracking === undefined) throw new Refusal("EOPNOTSUPP");
  const domain = options.nestParent ? nestParent : options.dirtyTracking ? dirtyTracking : plain;
  if (domain === undefined) throw new Refusal("EOPNOTSUPP");
  return domain;
}
