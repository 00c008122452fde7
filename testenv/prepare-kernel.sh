#!/bin/sh
# Installs what the lab's driver qemu needs of the host beside what prepare.sh
# installs: as root on Debian and Ubuntu; elsewhere it says what is missing and exits 1.
set -eu

[ "$(uname -m)" = x86_64 ] || { echo "lab: the driver qemu emulates amd64 only, and this host is $(uname -m)" >&2; exit 1; }

missing=
for need in qemu-system-x86_64:qemu-system-x86 mkfs.ext4:e2fsprogs; do
	PATH=$PATH:/usr/sbin:/sbin command -v "${need%%:*}" >/dev/null || missing="$missing ${need#*:}"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "lab: installing$missing" >&2
	export DEBIAN_FRONTEND=noninteractive
	# shellcheck disable=SC2086 # a list
	apt-get install -y -q --no-install-recommends $missing >&2 ||
		{ apt-get update -q >&2 && apt-get install -y -q --no-install-recommends $missing >&2; }
	exit 0
fi
echo "lab: these Debian packages, or what they are called here, are missing:$missing" >&2
exit 1
