#!/bin/bash
# Fetches a QEMU that knows iommufd (9.0 and later) for the hand-over test, and unpacks it beside, not installed: the
# test machine itself is run by Debian 12's, whose emulated VT-d the tests know. It needs the libraries of that one.
set -euo pipefail
cd "$(dirname "$0")/.."

target=build/test/qemu
[ ! -x "$target/usr/bin/qemu-system-x86_64" ] || exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,cache/archives/partial}
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
suite=$(. /etc/os-release && echo "$VERSION_CODENAME-backports")
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$work/sources.list"
apt=(-q -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
  -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
apt-get "${apt[@]}" update
(cd "$work" && apt-get "${apt[@]}" download qemu-system-x86 qemu-system-common)
for package in "$work"/*.deb; do dpkg -x "$package" "$work/root"; done
mkdir -p "$(dirname "$target")"
rm -rf "$target"
mv "$work/root" "$target"
"$target/usr/bin/qemu-system-x86_64" --version | head -n 1
