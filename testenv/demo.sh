#!/usr/bin/env bash
# The whole story on three lab machines: boot, plan, up, pods that talk, a power cut that is survived.
# It runs in a network namespace of its own and takes everything away again; DEMO_KEEP=1 leaves the lab
# and says how to reach it. As root, after `make build bundle`.
set -euo pipefail
cd "$(dirname "$0")/.."

lab=${DEMO_DIR:-$PWD/.lab}
file=$lab/cluster.hcl
netns=provision-demo

if [ "${PROVISION_DEMO_INSIDE:-}" != 1 ]; then
  [ "$(id -u)" = 0 ] || { echo "make demo boots machines: run it as root" >&2; exit 1; }
  bin/lab image
  ip netns add "$netns" 2>/dev/null || { echo "the namespace $netns is there already: is another demo running? If not: bin/lab down --dir $lab; ip netns del $netns" >&2; exit 1; }
  cleanup() {
    if [ "${DEMO_KEEP:-}" = 1 ]; then
      echo
      echo "The lab is still up. Reach it with:  ip netns exec $netns bin/provision kubectl $file -- get pods -A"
      echo "Take it away with:                   bin/lab down --dir $lab; ip netns del $netns"
      return
    fi
    bin/lab down --dir "$lab" || true
    ip netns del "$netns" || true
  }
  trap cleanup EXIT
  trap 'exit 130' INT TERM
  ip -n "$netns" link set lo up
  PROVISION_DEMO_INSIDE=1 ip netns exec "$netns" bash "$0"
  exit
fi

say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }
show() { # prints a command, runs it, and says how long it took
  say "$@"
  local start end
  start=$(date +%s.%N)
  "$@"
  end=$(date +%s.%N)
  awk -v a="$start" -v b="$end" 'BEGIN { printf "(%.1f s)\n", b - a }'
}

show bin/lab up --masters 1 --workers 2 --dir "$lab"
say bin/provision plan "$file"
code=0
bin/provision plan "$file" || code=$?
[ "$code" = 2 ] || { echo "plan exited $code instead of 2 (changes pending)" >&2; exit 1; }
show bin/provision up "$file" --yes
show bin/provision up "$file" --yes
show bin/provision kubectl "$file" -- get nodes -o wide
show bin/provision verify "$file"
show bin/provision verify "$file" --failover worker --yes
show bin/provision kubectl "$file" -- get pods --all-namespaces -o wide
show bin/provision down "$file" --yes
