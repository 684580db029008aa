#!/bin/bash
# Fetches what the test machine for arm64 has for a root: build/test/arm64/root, of Debian packages, with Node.js and the
# native parts of vitest. Nothing is installed, node_modules stays as it is, and what is there is not fetched again.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD/build/test/arm64/root

# gdb prints where a program crashed (test/kernel/backtrace.cc); the rest is for init.sh and Node.js.
[ -x "$root/bin/bash" ] ||
  scripts/fetch-packages.sh --architecture arm64 "$root" "$(. /etc/os-release && echo "$VERSION_CODENAME")" \
    install -y --download-only --no-install-recommends \
    bash coreutils dash gdb-minimal grep libstdc++6 mount perl-base util-linux

install -D "$(scripts/fetch-node.sh 24 arm64)" "$root/usr/local/bin/node"

# native MODULE PACKAGE: the part of a module for this processor, in the version that the module asks for. Found by NODE_PATH.
native() {
  local target=$root/usr/local/lib/node_modules/$2 version tarball
  version=$(node -p 'JSON.parse(fs.readFileSync(process.argv[1])).optionalDependencies[process.argv[2]]' \
    "node_modules/$1/package.json" "$2")
  ! grep -qs "\"version\": \"$version\"" "$target/package.json" || return 0
  rm -rf "$target"
  mkdir -p "$target"
  tarball=$(npm pack --silent --pack-destination "$target" "$2@$version" | tail -n 1)
  tar -xzf "$target/$tarball" -C "$target" --strip-components=1
  rm "$target/$tarball"
}
native rolldown @rolldown/binding-linux-arm64-gnu
native lightningcss lightningcss-linux-arm64-gnu
