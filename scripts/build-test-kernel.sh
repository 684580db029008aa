#!/bin/bash
# Builds the test machine's kernel, for those who have none: a small Linux with iommufd, the VFIO character device
# and the IOMMU drivers, from Debian's linux-source package. It takes about 15 minutes on two cores and 3 GB.
#
#   scripts/build-test-kernel.sh DIRECTORY [SOURCE.tar.xz]
#
# DIRECTORY receives bzImage and config; then IOMMUFD_TEST_KERNEL=DIRECTORY/bzImage npm run test:kernel.
# SOURCE.tar.xz is what a linux-source package installs in /usr/src; without it the newest one there is taken.
# Any version from 6.8 on has what the kernel lane needs: on Debian 12, linux-source-6.12 from bookworm-backports.
#
# Needs gcc, make, flex, bison, bc, xz-utils, libelf-dev and libssl-dev.
set -euo pipefail

usage() {
  sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

[ $# -ge 1 ] && [ $# -le 2 ] || usage
fragment=$(cd "$(dirname "$0")" && pwd)/test-kernel.config
mkdir -p "$1"
output=$(cd "$1" && pwd)
source=${2:-$(find /usr/src -maxdepth 1 -name 'linux-source-*.tar.xz' | sort -V | tail -n 1)}
if [ ! -f "$source" ]; then
  echo "build-test-kernel: no linux-source-*.tar.xz in /usr/src; install a linux-source package, or name the file" >&2
  exit 1
fi
for tool in gcc make flex bison bc xz; do
  command -v "$tool" >/dev/null || {
    echo "build-test-kernel: $tool is missing (apt-get install gcc make flex bison bc xz-utils libelf-dev libssl-dev)" >&2
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

make -s tinyconfig
scripts/kconfig/merge_config.sh -m .config "$fragment" >/dev/null
make -s olddefconfig
for option in IOMMUFD VFIO_DEVICE_CDEV INTEL_IOMMU 9P_FS; do
  grep -q "^CONFIG_$option=y" .config || {
    echo "build-test-kernel: CONFIG_$option is not set; this Linux is too old" >&2
    exit 1
  }
done
make -s -j"$(nproc)" bzImage
cp arch/x86/boot/bzImage "$output/bzImage"
cp .config "$output/config"
echo "build-test-kernel: $output/bzImage"
