#!/bin/bash
# Builds the test machine's kernel, for those who have none: a small Linux with iommufd, the VFIO character device
# and the IOMMU drivers, from Debian's linux-source package. It takes about 15 minutes on two cores and 3 GB.
#
#   scripts/build-test-kernel.sh [--arm64 PAGE_SIZE] DIRECTORY [SOURCE.tar.xz]
#
# DIRECTORY receives bzImage and config; then IOMMUFD_TEST_KERNEL=DIRECTORY/bzImage npm run test:kernel.
# With --arm64 4, 16 or 64 it receives Image.gz, for IOMMUFD_TEST_MACHINE=smmuv3, with pages of so many KiB.
# SOURCE.tar.xz is what a linux-source package installs in /usr/src; without it the newest one there is taken.
# Any version from 6.8 on has what the kernel lane needs: on Debian 12, linux-source-6.12 from bookworm-backports.
#
# Needs gcc, make, flex, bison, bc, xz-utils, libelf-dev and libssl-dev; for arm64 gcc-aarch64-linux-gnu.
set -euo pipefail

usage() {
  sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

page_size=
if [ "${1:-}" = --arm64 ]; then
  [[ "${2:-}" =~ ^(4|16|64)$ ]] || usage
  page_size=$2
  shift 2
fi
[ $# -ge 1 ] && [ $# -le 2 ] && [[ "$1" != -* ]] || usage
fragments=("$(cd "$(dirname "$0")" && pwd)/test-kernel.config")
image=arch/x86/boot/bzImage options=(INTEL_IOMMU) gcc=gcc
if [ -n "$page_size" ]; then
  export ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-
  # Options of x86 in it do not exist in this architecture, and are left out.
  fragments+=("${fragments[0]%.config}-arm64.config")
  image=arch/arm64/boot/Image.gz options=(ARM_SMMU_V3_IOMMUFD "ARM64_${page_size}K_PAGES") gcc=${CROSS_COMPILE}gcc
fi
mkdir -p "$1"
output=$(cd "$1" && pwd)
source=${2:-$(find /usr/src -maxdepth 1 -name 'linux-source-*.tar.xz' | sort -V | tail -n 1)}
if [ ! -f "$source" ]; then
  echo "build-test-kernel: no linux-source-*.tar.xz in /usr/src; install a linux-source package, or name the file" >&2
  exit 1
fi
for tool in gcc "$gcc" make flex bison bc xz; do
  command -v "$tool" >/dev/null || {
    echo "build-test-kernel: $tool is missing (apt-get install gcc make flex bison bc xz-utils libelf-dev libssl-dev gcc-aarch64-linux-gnu)" >&2
    exit 1
  }
done

tree=$(mktemp -d "$output/build.XXXXXX")
trap 'rm -rf "$tree"' EXIT
echo "build-test-kernel: unpacking $source"
tar -xf "$source" -C "$tree" --strip-components=1
cd "$tree"

# QEMU's emulated VT-d does not advertise nested translation (ECAP.NEST, bit 26), and without it the kernel answers
# IOMMU_HWPT_ALLOC_NEST_PARENT with EOPNOTSUPP: the one case that ERRATA_772415_SPR17 is about would be out of
# reach. So this kernel reads the register with that bit set.
dmar=drivers/iommu/intel/dmar.c
sed -i -E 's/(iommu->ecap = (dmar_)?readq\(iommu->reg \+ DMAR_ECAP_REG\));/\1 | (1ULL << 26);/' "$dmar"
grep -q '| (1ULL << 26);' "$dmar" || {
  echo "build-test-kernel: $dmar does not read ECAP_REG as expected; this Linux is not known to the script" >&2
  exit 1
}

# QEMU cannot say without ACPI that the devices behind its SMMUv3 are coherent, and without that the kernel makes no vIOMMU. So
# this kernel does not ask.
if [ -n "$page_size" ]; then
  smmu=drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3-iommufd.c
  sed -i 's/if (!arm_smmu_master_canwbs(master) &&/if (false \&\&/' "$smmu"
  grep -q 'if (false &&' "$smmu" || {
    echo "build-test-kernel: $smmu does not ask for coherence as expected; this Linux is not known to the script" >&2
    exit 1
  }
fi

make -s tinyconfig
scripts/kconfig/merge_config.sh -m .config "${fragments[@]}" >/dev/null
[ -z "$page_size" ] || echo "CONFIG_ARM64_${page_size}K_PAGES=y" >>.config
make -s olddefconfig
for option in IOMMUFD VFIO_DEVICE_CDEV "${options[@]}" 9P_FS; do
  grep -q "^CONFIG_$option=y" .config || {
    echo "build-test-kernel: CONFIG_$option is not set; this Linux is too old" >&2
    exit 1
  }
done
make -s -j"$(nproc)" "${image##*/}"
cp "$image" .config "$output"
mv "$output/.config" "$output/config"
echo "build-test-kernel: $output/${image##*/}"
