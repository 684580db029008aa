/**
 * Linux iommufd and VFIO devices for Node.js, with the DMA mapping rules that ERRATA_772415_SPR17 asks for.
 *
 * @packageDocumentation
 */

export type { ByteCount } from "./arguments.ts";
export type { Backend, BackendName } from "./backend/backend.ts";
export { type BackendChoice, DEFAULT_PROFILE } from "./backend/choice.ts";
export type { Ioctl, IommufdIoctl, Syscall } from "./backend/ioctl.ts";
export { type ReceivedMessage, UnixServer, UnixSocket } from "./backend/kernel/unix-socket.ts";
export {
  type BackendOptions,
  type SelectedBackend,
  selectBackend,
  softwareMachine,
} from "./backend/select.ts";
export { DmaFault } from "./backend/software/dma.ts";
export type { DmaFaultReason } from "./backend/software/iommus/stage-1.ts";
export { type Profile, parseProfile } from "./backend/software/profile.ts";
export { shippedProfiles } from "./backend/software/shipped-profiles.ts";
export type { DmaOptions } from "./backend/software/software-backend.ts";
export { SoftwareMachine } from "./backend/software-machine.ts";
export type { IoctlTrace } from "./backend/wrapper.ts";
export { ApplyError } from "./container/apply-error.ts";
export { type CapturedProfile, type CaptureWords, captureProfile } from "./container/capture.ts";
export { Container, type ContainerOptions, type RegionMemory } from "./container/container.ts";
export {
  type BypassRoDecision,
  type BypassRoInput,
  type BypassRoSetting,
  decideBypassRo,
  type HostIommuQuirk,
  hostIommuQuirks,
} from "./container/errata.ts";
export {
  type Decision,
  decide,
  isMapping,
  type Plan,
  type PlannedMapping,
  type PlanOptions,
  plan,
  SKIP_REASONS,
  type SkippedSection,
  type SkipReason,
} from "./container/plan.ts";
export { type ProbedDevice, probeDevice } from "./container/probe.ts";
export {
  IommufdError,
  type IommufdErrorCode,
  isSystemError,
  type LinuxErrorCode,
  type SystemError,
} from "./errors.ts";
export { type DmarUnit, findDmarUnits } from "./host/dmesg.ts";
export { type AmdCapabilities, type AmdHwInfo, decodeAmd } from "./hw-info/amd.ts";
export { type DecodedHwInfo, decodeHwInfo } from "./hw-info/hw-info.ts";
export type { FieldValues } from "./hw-info/register.ts";
export {
  decodeSmmuv3,
  SMMUV3_GUEST_FIELDS,
  type Smmuv3Capabilities,
  type Smmuv3HwInfo,
  type Smmuv3Register,
  type Tegra241CmdqvHwInfo,
} from "./hw-info/smmuv3.ts";
export {
  decodeVtd,
  type VtdCapabilities,
  type VtdDerived,
  type VtdHwInfo,
} from "./hw-info/vtd.ts";
export { type AttachOptions, Device } from "./iommufd/device.ts";
export { DmaBuf, type DmaBufRange } from "./iommufd/dma-buf.ts";
export { DmaLogging, type DmaLoggingRange } from "./iommufd/dma-logging.ts";
export { DmaMemory, type MemoryOptions } from "./iommufd/dma-memory.ts";
export type { NestedHwptData, RawInvalidation, VtdInvalidation } from "./iommufd/driver-data.ts";
export {
  FaultQueue,
  type PageFault,
  PageFaultGroup,
  type PageResponse,
} from "./iommufd/fault-queue.ts";
export {
  type DirtyBitmapOptions,
  Hwpt,
  type HwptOptions,
  type NestedHwptOptions,
} from "./iommufd/hwpt.ts";
export { Interrupts, InterruptVector } from "./iommufd/interrupts.ts";
export { Ioas } from "./iommufd/ioas.ts";
export { Iommufd, type RlimitMode } from "./iommufd/iommufd.ts";
export type {
  CopyOptions,
  MapFileOptions,
  MapManyOptions,
  MapManyRanges,
  MapOptions,
} from "./iommufd/map-options.ts";
export type { AttachedDevice, PageTable } from "./iommufd/page-table.ts";
export { MappedRegion, Region } from "./iommufd/region.ts";
export type { Resource } from "./iommufd/resource.ts";
export {
  type LostEvents,
  type RawEvent,
  type SmmuEvent,
  type Tegra241CmdqvEvent,
  type Vevent,
  VeventQueue,
  type VeventQueueOptions,
  type VeventQueueType,
} from "./iommufd/vevent-queue.ts";
export {
  HwQueue,
  type HwQueueOptions,
  Vdevice,
  Viommu,
  type ViommuType,
} from "./iommufd/viommu.ts";
export type { SgxEpc, VirtioMem } from "./memory-map/memory-devices.ts";
export { type MemoryMapOptions, readMemoryMap, readMemoryMapFrom } from "./memory-map/memory-map.ts";
export type { MonitorOptions } from "./memory-map/monitor.ts";
export {
  type AddressSpace,
  type FlatView,
  findFlatView,
  parseFlatViews,
} from "./memory-map/mtree.ts";
export {
  type PropertyNames,
  queryLibvirt,
  queryQemu,
  type RunningVm,
} from "./memory-map/running-qemu.ts";
export { parseSectionList, type SectionList } from "./memory-map/section-list.ts";
export type { Origin } from "./origin.ts";
export type { MemorySection, SectionType } from "./section.ts";
export type {
  DeviceId,
  DriverData,
  FaultQueueId,
  HwInfo,
  HwptAmdGuest,
  HwptArmSmmuv3,
  HwptId,
  HwptVtdS1,
  HwQueueId,
  IoasId,
  IovaRange,
  IovaRanges,
  ObjectId,
  PageTableId,
  VdeviceId,
  VeventQueueId,
  VfioDeviceInfo,
  VfioIrqInfo,
  VfioRegionInfo,
  ViommuId,
} from "./uapi.ts";
export {
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_PCI_BAR0_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_REQ_IRQ_INDEX,
  VFIO_PCI_ROM_REGION_INDEX,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
} from "./uapi.ts";
