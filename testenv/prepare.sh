#!/bin/sh
# Installs what the lab needs of the host: as root on Debian and Ubuntu; elsewhere
# it says what is missing and exits 1. Quick where all is there.
set -eu

# command:package, in pairs, as Debian calls them
needs="mmdebstrap:mmdebstrap systemd-nspawn:systemd-container ip:iproute2 ssh:openssh-client modprobe:kmod nft:nftables iptables-nft:iptables"

missing=
for need in $needs; do
	PATH=$PATH:/usr/sbin:/sbin command -v "${need%%:*}" >/dev/null || missing="$missing ${need#*:}"
done
# The image is Debian whatever the host is, and its packages are checked against this.
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing debian-archive-keyring"
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
if command -v apt-get >/dev/null; then
	echo "lab: install them with: sudo apt-get install --no-install-recommends$missing" >&2
elif command -v dnf >/dev/null; then
	echo "lab: install them with: sudo dnf install$missing" >&2
fi
exit 1
