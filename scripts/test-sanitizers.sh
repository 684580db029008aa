#!/bin/bash
# Runs the addon's tests under the sanitizers, with forced garbage collections. Arguments are test files (default: the addon's).
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || set -- test/unit/{addon,addon-arguments,addon-bound,addon-events,addon-features,hostile-kernel,pages,registers,unix-socket,workers}.test.ts
exec scripts/with-sanitizers.sh node --expose-gc node_modules/vitest/vitest.mjs run --pool=threads "$@"
