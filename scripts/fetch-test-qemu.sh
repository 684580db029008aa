#!/bin/bash
# Fetches QEMUs that know iommufd, and unpacks them beside, not installed (the test machine itself is run by Debian 12's,
# whose emulated VT-d the tests know):
# - build/test/qemu, of this Debian's backports, runs with the libraries of this machine, so also in the test machine;
# - build/test/qemu-latest, of the next Debian's backports, has commit 68d3a2a24d, and libraries of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")

# fetch TARGET SUITES APT-COMMAND…: unpacks what an apt-get of these suites downloads.
fetch() {
  local target=build/test/$1 suites=$2 work suite package
  shift 2
  [ ! -x "$target/usr/bin/qemu-system-x86_64" ] || return 0
  work=$(mktemp -d)
  # shellcheck disable=SC2064 # this one, not that of the next call
  trap "rm -rf '$work'" EXIT
  mkdir -p "$work"/{lists/partial,cache/archives/partial}
  touch "$work/status"
  for suite in $suites; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
  done >"$work/sources.list"
  local apt=(-q -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$work/lists" -o "Dir::State::status=$work/status" -o "Dir::Cache=$work/cache"
    -o APT::Sandbox::User=root)
  apt-get "${apt[@]}" update
  (cd "$work/cache/archives" && apt-get "${apt[@]}" "$@")
  for package in "$work"/cache/archives/*.deb; do dpkg -x "$package" "$work/root"; done
  rm -rf "$target"
  mkdir -p "$(dirname "$target")"
  mv "$work/root" "$target"
  rm -rf "$work"
}

fetch qemu "$codename-backports" download qemu-system-x86 qemu-system-common
fetch qemu-latest "trixie trixie-backports" install -y --download-only --no-install-recommends -t trixie-backports \
  qemu-system-x86
