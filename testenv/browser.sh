#!/bin/sh
# Installs a browser, in which a test looks at the page that `provision verify --html`
# writes: as root on Debian; elsewhere it says what is missing and exits 1.
set -eu

for name in chromium chromium-browser google-chrome; do
	! command -v "$name" >/dev/null || exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "installing chromium" >&2
	export DEBIAN_FRONTEND=noninteractive
	apt-get install -y -q --no-install-recommends chromium fonts-dejavu-core >&2 ||
		{ apt-get update -q >&2 && apt-get install -y -q --no-install-recommends chromium fonts-dejavu-core >&2; }
	exit 0
fi
echo "a browser is missing: Debian's package is chromium" >&2
exit 1
