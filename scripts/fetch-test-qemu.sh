#!/bin/bash
# Fetches QEMUs that know iommufd, and unpacks them beside, not installed (the test machine itself is run by Debian 12's,
# whose emulated VT-d the tests know):
# - build/test/qemu, of this Debian's backports, runs with the libraries of this machine, so also in the test machine. Its
#   emulated SMMUv3 translates in two stages, so it runs the test machine for arm64;
# - build/test/qemu-latest, of the next Debian's backports, has commit 68d3a2a24d, and libraries of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
is_there() { [ -x "build/test/$1" ]; }

is_there qemu/usr/bin/qemu-system-aarch64 ||
  scripts/fetch-packages.sh build/test/qemu "$codename-backports" \
    download qemu-system-x86 qemu-system-arm qemu-system-common
is_there qemu-latest/usr/bin/qemu-system-x86_64 ||
  scripts/fetch-packages.sh build/test/qemu-latest "trixie trixie-backports" \
    install -y --download-only --no-install-recommends -t trixie-backports qemu-system-x86
