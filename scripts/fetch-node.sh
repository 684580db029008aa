#!/bin/bash
# Fetches a Node.js for Linux from the registry of npm: fetch-node.sh MAJOR ARCH, ARCH as Node.js calls it (x64, arm64).
# Prints its path. A version that was fetched before is not fetched again.
set -euo pipefail
cd "$(dirname "$0")/.."

major=$1 arch=$2 target=$PWD/build/test/node-$1-$2
if ! [ -x "$target/bin/node" ]; then
  rm -rf "$target"
  mkdir -p "$target"
  tarball=$(npm pack --silent --pack-destination "$target" "node-linux-$arch@$major" | tail -n 1)
  tar -xzf "$target/$tarball" -C "$target" --strip-components=1
  rm "$target/$tarball"
fi
echo "$target/bin/node"
