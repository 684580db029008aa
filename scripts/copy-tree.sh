#!/bin/bash
# Copies the working tree, with what is new in it and without what git ignores: copy-tree.sh DIRECTORY. Dependencies are linked.
set -euo pipefail
directory=$(realpath "$1")
cd "$(dirname "$0")/.."

git ls-files -z --cached --others --exclude-standard | xargs -0 cp --preserve=timestamps --parents --target-directory="$directory"
ln -s "$PWD/node_modules" "$directory/node_modules"
