#!/bin/bash
# Builds the addon for those who install the package: prebuilds/linux-x64-glibc and linux-arm64-glibc. Runs before a pack
# (npm's prepack); after it they are removed again, for the loader takes them before a local build.
#
# Needs Debian's g++ and g++-aarch64-linux-gnu. The addon that Debian 12 builds runs with glibc 2.32 and libstdc++ of
# GCC 11, so it runs on RHEL 9 and Ubuntu 22.04, too. With libstdc++ linked in it would not run there: Debian's needs
# glibc
# 2.36.
set -euo pipefail
cd "$(dirname "$0")/.."

architectures=(x64 arm64)
for arch in "${architectures[@]}"; do scripts/build-addon.sh "$arch" "build/prebuild/$arch"; done

# All or none.
for arch in "${architectures[@]}"; do
  install -D "build/prebuild/$arch/build/Release/iommufd.node" "prebuilds/linux-$arch-glibc/iommufd.node"
done
