#!/bin/bash
# Runs a command under AddressSanitizer and UndefinedBehaviorSanitizer: with-sanitizers.sh COMMAND…
#
# The command runs in a copy of the working tree, build/sanitized, whose addon is built with both. So the build here
# stays as it is. The copy is kept: what did not change is not compiled again. IOMMUFD_TEST_NODE=20, 22 or 24 says which
# Node.js `node`
# is there (default: this one); one build serves all of them.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -n "${IOMMUFD_TEST_NODE:-}" ]; then
  node=$(scripts/fetch-node.sh "$IOMMUFD_TEST_NODE" "$(node -p process.arch)")
fi

copy=$PWD/build/sanitized
mkdir -p "$copy"
(
  flock 9 # two that start at once prepare one after the other
  find "$copy" -mindepth 1 -maxdepth 1 ! -name build -exec rm -r {} +
  scripts/copy-tree.sh "$copy"
  cp -r dist "$copy/dist" # for programs that import the package, and tests that start another process
  # Optimized a little, with line numbers and no more: that is all that a report needs, and compiles twice as fast.
  flags='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1 -g1'
  cd "$copy"
  # By npx, which hands on what npm is configured with: where Node.js' headers are.
  CXXFLAGS=$flags LDFLAGS=$flags npx --no-install node-gyp --loglevel=error configure build >/dev/null
) 9>"$copy.lock"

[ -z "${node:-}" ] || PATH=$(dirname "$node"):$PATH
cd "$copy"
# No report of leaks: it names hundreds of V8's and Node.js's own, which free little when they exit, and a suppression that names
# them hides the addon's too, since they are in every stack. The tests and test/attack count what the addon keeps.
# Allocations that are too large are refused, as they are without. V8 would take SIGSEGV for WebAssembly's traps, and end the
# process without a word where it is none of them; so signals stay with the sanitizer.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:handle_segv=2:handle_sigbus=2:handle_abort=2${ASAN_OPTIONS:+:$ASAN_OPTIONS}
export UBSAN_OPTIONS=print_stacktrace=1
export LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
exec "$@"
