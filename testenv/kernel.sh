#!/usr/bin/env bash
# The overlay on kernels with WireGuard: two emulated machines (overlay/kerneltest). As root. Prints how long it took.
set -euo pipefail
cd "$(dirname "$0")/.."

[ "$(id -u)" = 0 ] || { echo "emulated machines need root for their cables" >&2; exit 1; }
testenv/prepare.sh
testenv/prepare-kernel.sh
make --no-print-directory build
bin/lab image --flavor kernel # before the namespace is entered, which has no way to any package

netns=provision-kernel-$$
ip netns add "$netns"
cleanup() {
  bin/lab sweep || true # where the test was killed
  ip netns del "$netns" || true
}
trap cleanup EXIT
trap 'exit 130' INT TERM
ip -n "$netns" link set lo up

begin=$SECONDS
# Linked statically, since the machines run the test's program as well.
CGO_ENABLED=0 ip netns exec "$netns" nice -n 10 go test -tags kernel -count=1 -timeout 40m -v ./overlay/kerneltest
echo "the test on emulated machines took $((SECONDS - begin)) s"
