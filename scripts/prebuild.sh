#!/bin/bash
# Builds the addon for those who install the package: prebuilds/linux-x64-glibc and linux-arm64-glibc. Runs before a pack
# (npm's prepack); after it they are removed again, for the loader takes them before a local build.
#
# Needs Debian's g++ and g++-aarch64-linux-gnu. What Debian 12 builds runs with glibc 2.32 and libstdc++ of GCC 11, and so on
# Ubuntu 22.04 and RHEL 9. With libstdc++ linked in it would not: Debian's needs glibc 2.36.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A prefixes=([x64]=x86_64-linux-gnu- [arm64]=aarch64-linux-gnu-)
for arch in "${!prefixes[@]}"; do
  prefix=${prefixes[$arch]}
  if ! command -v "${prefix}g++" >/dev/null; then
    echo "prebuild: no ${prefix}g++ (Debian: apt-get install g++ g++-aarch64-linux-gnu)" >&2
    exit 1
  fi
  # A directory of its own: build/ is this machine's.
  work=build/prebuild/$arch
  mkdir -p "$work"
  cp -r binding.gyp package.json native "$work"
  ln -sfn "$PWD/node_modules" "$work/node_modules"
  CC=${prefix}gcc CXX=${prefix}g++ \
    npx --no-install node-gyp --directory "$work" --arch="$arch" --loglevel=warn --jobs=max configure build
  "${prefix}strip" --strip-unneeded "$work/build/Release/iommufd.node"
done

# All or none.
for arch in "${!prefixes[@]}"; do
  install -D "build/prebuild/$arch/build/Release/iommufd.node" "prebuilds/linux-$arch-glibc/iommufd.node"
done
