#!/bin/bash
# Unpacks packages of another Debian suite under a directory, without installing them:
#   fetch-packages.sh [--architecture ARCHITECTURE] DIRECTORY "SUITE…" APT-GET-ARGUMENT…
# "download PACKAGE…" fetches these alone, "install -y --download-only PACKAGE…" what they need, too. The mirror is the one
# that apt is set up with. The architecture is Debian's name of one (default: this machine's).
set -euo pipefail
architecture=$(dpkg --print-architecture)
if [ "$1" = --architecture ]; then
  architecture=$2
  shift 2
fi
target=$1 suites=$2
shift 2
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,cache/archives/partial} "$(dirname "$target")"
touch "$work/status"
for suite in $suites; do
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
done >"$work/sources.list"
apt=(-q -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
  -o "Dir::State::Lists=$work/lists" -o "Dir::State::status=$work/status" -o "Dir::Cache=$work/cache"
  -o APT::Sandbox::User=root -o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture")
apt-get "${apt[@]}" update
(cd "$work/cache/archives" && apt-get "${apt[@]}" "$@")
for package in "$work"/cache/archives/*.deb; do dpkg -x "$package" "$work/root"; done
rm -rf "$target"
mv "$work/root" "$target"
