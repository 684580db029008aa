#!/bin/bash
# Runs the addon's tests with AddressSanitizer and UndefinedBehaviorSanitizer, with forced garbage collections, on a
# copy of the working tree, so that the build in it stays as it is. Arguments are test files (default: the addon's).
set -euo pipefail
cd "$(dirname "$0")/.."

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
scripts/copy-tree.sh "$copy"
ln -s "$PWD/dist" "$copy/dist" # for the tests that start another process
[ $# -gt 0 ] || set -- test/unit/{addon,addon-arguments,addon-events,addon-features,hostile-kernel,pages,unix-socket,workers}.test.ts

cd "$copy"
flags='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g'
CXXFLAGS=$flags LDFLAGS=$flags node_modules/.bin/node-gyp --silent configure build

# Node.js itself leaks on exit; what the addon keeps is looked at by the tests.
ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
  LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
  node --expose-gc node_modules/vitest/vitest.mjs run --pool=threads "$@"
