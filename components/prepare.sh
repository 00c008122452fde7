#!/bin/sh
# Installs what building a bundle needs: a C compiler and libseccomp for runc,
# which is the one program that is not pure Go. Usage: prepare.sh [ARCH].
#
# It does nothing where all of it is there, and where it may not install (not
# root, or no apt-get) it says what is missing.
set -eu

arch=${1:-$(go env GOARCH)}
host=$(go env GOHOSTARCH)
packages=

need() { # need PROGRAM PACKAGE
	command -v "$1" >/dev/null 2>&1 || packages="$packages $2"
}

need pkg-config pkg-config
need dpkg-deb dpkg
if [ "$arch" = "$host" ]; then
	need gcc gcc
	[ -e /usr/include/stdio.h ] || packages="$packages libc6-dev"
	pkg-config --exists libseccomp 2>/dev/null || packages="$packages libseccomp-dev"
else
	case $arch in
	arm64) need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu ;;
	amd64) need x86_64-linux-gnu-gcc gcc-x86-64-linux-gnu ;;
	*) echo "prepare: no bundle can be built for $arch" >&2; exit 1 ;;
	esac
	[ -d "/usr/$([ "$arch" = arm64 ] && echo aarch64 || echo x86_64)-linux-gnu/include" ] ||
		packages="$packages libc6-dev-$arch-cross"
fi
[ -n "$packages" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "prepare: building a bundle needs these (Debian's names):$packages" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# The lists that are there may do; reading them again takes seconds.
# shellcheck disable=SC2086 # a list of words
apt-get install -qq -y --no-install-recommends $packages >/dev/null 2>&1 || {
	apt-get update -qq
	apt-get install -qq -y --no-install-recommends $packages >/dev/null
}
