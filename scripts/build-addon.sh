#!/bin/bash
# Builds the addon for a processor: build-addon.sh ARCH DIRECTORY, ARCH as Node.js calls it (x64, arm64). The result is
# DIRECTORY/build/Release/iommufd.node. Unchanged sources are not compiled again.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A prefixes=([x64]=x86_64-linux-gnu- [arm64]=aarch64-linux-gnu-)
arch=$1 directory=$2 prefix=${prefixes[$1]}
if ! command -v "${prefix}g++" >/dev/null; then
  echo "build-addon: no ${prefix}g++ (Debian: apt-get install g++ g++-aarch64-linux-gnu)" >&2
  exit 1
fi
# A directory of its own: build/ is this machine's.
mkdir -p "$directory"
cp -r --preserve=timestamps binding.gyp package.json native "$directory"
ln -sfn "$PWD/node_modules" "$directory/node_modules"
CC=${prefix}gcc CXX=${prefix}g++ \
  npx --no-install node-gyp --directory "$directory" --arch="$arch" --loglevel=warn --jobs=max configure build
"${prefix}strip" --strip-unneeded "$directory/build/Release/iommufd.node"
