#!/bin/bash
# Counts lines and branches that run: first those of the library in its own tests, then those of the command in
# processes of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "== the library: test/unit, test/conformance"
vitest run --reporter=dot --coverage test/unit test/conformance
echo "== the command: test/e2e"
c8 --include 'lib/cli/**' --include 'lib/report/**' --exclude-after-remap --reporter=text --reporter=text-summary \
  vitest run --reporter=dot test/e2e
