/**
 * Machines whose memory maps differ in everything that a plan can depend on: firmware, and devices with memory of their own.
 */

import { existsSync } from "node:fs";

/** A machine to start. */
export interface Machine {
  readonly name: string;
  /** Which QEMU: the major version, and of which processors where not of x86. */
  readonly qemu: { readonly major: number; readonly arm?: true };
  /** @param directory for files of its own */
  readonly options: (directory: string) => readonly string[];
  /** How long its firmware runs, in seconds; default: it is stopped before its first instruction. */
  readonly runs?: number;
  /** Files that it needs; it makes the others. */
  readonly needs?: readonly string[];
  /** Files of 16 MiB that it needs in its directory. */
  readonly makes?: readonly string[];
  /** Needs a TPM, of swtpm, at DIRECTORY/tpm. */
  readonly tpm?: true;
  /** Writes to the machine's ports and memory, in QEMU's qtest protocol. */
  readonly writes?: readonly string[];
}

const OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const OVMF_SECURE = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd";
const OVMF_VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.ms.fd";
const AAVMF = "/usr/share/AAVMF/AAVMF_CODE.fd";

const flash = (unit: number, file: string) => [
  "-drive",
  `if=pflash,unit=${unit},format=raw,${unit === 0 ? "readonly=on" : "snapshot=on"},file=${file}`,
];

/** How long SeaBIOS takes under emulation, and OVMF; longer does no harm. */
const SEABIOS = 8;
const UEFI = 25;

/** The machines of the corpus. */
export const MACHINES: readonly Machine[] = [
  {
    name: "pc-seabios",
    qemu: { major: 11 },
    options: () => ["-machine", "pc", "-m", "128M", "-device", "VGA", "-device", "e1000"],
    runs: SEABIOS,
  },
  {
    name: "pc-option-rom",
    qemu: { major: 11 },
    options: () => ["-machine", "pc", "-m", "128M", "-device", "VGA,addr=3"],
    // The expansion ROM of the VGA at 0xe0000000, and its memory decoded.
    writes: ["outl 0xcf8 0x80001830", "outl 0xcfc 0xe0000001", "outl 0xcf8 0x80001804", "outw 0xcfc 0x2"],
  },
  {
    name: "pc-ovmf",
    qemu: { major: 11 },
    options: () => ["-machine", "pc", "-m", "128M", ...flash(0, OVMF)],
    needs: [OVMF],
  },
  {
    name: "q35-ovmf",
    qemu: { major: 11 },
    options: () => ["-machine", "q35", "-m", "128M", ...flash(0, OVMF)],
    needs: [OVMF],
  },
  {
    name: "q35-secure-boot",
    qemu: { major: 11 },
    options: () => [
      ...["-machine", "q35,smm=on", "-m", "256M", "-device", "VGA", "-device", "e1000e"],
      ...["-global", "driver=cfi.pflash01,property=secure,value=on"],
      ...flash(0, OVMF_SECURE),
      ...flash(1, OVMF_VARIABLES),
    ],
    needs: [OVMF_SECURE, OVMF_VARIABLES],
    runs: UEFI,
  },
  {
    name: "q35-devices",
    qemu: { major: 11 },
    options: (directory) => [
      ...["-machine", "q35,nvdimm=on", "-m", "128M,slots=6,maxmem=2G", "-device", "VGA", "-device", "e1000e"],
      ...[
        "-object",
        "memory-backend-ram,id=shared,size=4M,share=on",
        "-device",
        "ivshmem-plain,memdev=shared",
      ],
      ...["-object", `memory-backend-file,id=file0,mem-path=${directory}/file0,size=16M,share=on`],
      ...["-device", "nvdimm,id=nvdimm0,memdev=file0"],
      ...[
        "-object",
        `memory-backend-file,id=file1,mem-path=${directory}/file1,size=16M,share=on,readonly=on`,
      ],
      ...["-device", "nvdimm,id=nvdimm1,memdev=file1,unarmed=on"],
      ...["-object", `memory-backend-file,id=file2,mem-path=${directory}/file2,size=16M,readonly=on,rom=off`],
      ...["-device", "pc-dimm,id=dimm0,memdev=file2"],
      ...["-object", `memory-backend-file,id=file3,mem-path=${directory}/file3,size=16M,share=on`],
      ...["-device", "virtio-pmem-pci,id=pmem0,memdev=file3"],
    ],
    makes: ["file0", "file1", "file2", "file3"],
    runs: SEABIOS,
  },
  {
    name: "q35-nvdimm-unarmed",
    qemu: { major: 11 },
    options: (directory) => [
      ...["-machine", "q35,nvdimm=on", "-m", "128M,slots=2,maxmem=1G"],
      ...["-object", `memory-backend-file,id=file0,mem-path=${directory}/file0,size=16M,share=on`],
      // Unarmed is what the guest is told. Its memory stays writable, unless the file is read-only.
      ...["-device", "nvdimm,id=nvdimm0,memdev=file0,unarmed=on"],
    ],
    makes: ["file0"],
  },
  {
    name: "q35-virtio-mem",
    qemu: { major: 11 },
    options: () => [
      ...["-machine", "q35", "-m", "128M,slots=6,maxmem=2G"],
      ...["-object", "memory-backend-ram,id=vm0,size=64M", "-device", "virtio-mem-pci,id=vmem0,memdev=vm0"],
    ],
  },
  {
    name: "q35-tpm-crb",
    qemu: { major: 11 },
    options: (directory) => [
      ...["-machine", "q35", "-m", "128M", "-chardev", `socket,id=tpm,path=${directory}/tpm`],
      ...["-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0"],
    ],
    tpm: true,
  },
  {
    name: "microvm",
    qemu: { major: 11 },
    options: () => ["-machine", "microvm,pcie=on", "-m", "128M"],
  },
  {
    name: "pc-ovmf-7",
    qemu: { major: 7 },
    options: () => ["-machine", "pc", "-m", "128M", ...flash(0, OVMF)],
    needs: [OVMF],
  },
  {
    name: "q35-ovmf-10",
    qemu: { major: 10 },
    options: () => ["-machine", "q35", "-m", "128M", ...flash(0, OVMF)],
    needs: [OVMF],
  },
  {
    name: "virt-aavmf",
    qemu: { major: 11, arm: true },
    options: () => ["-machine", "virt", "-cpu", "max", "-m", "128M", ...flash(0, AAVMF)],
    needs: [AAVMF],
  },
  {
    name: "virt-secure",
    qemu: { major: 11, arm: true },
    options: () => ["-machine", "virt,secure=on", "-cpu", "max", "-m", "128M", ...flash(1, AAVMF)],
    needs: [AAVMF],
  },
];

/** Whether all is here that a machine needs. */
export function isHere({ needs = [] }: Machine): boolean {
  return needs.every((file) => existsSync(file));
}
