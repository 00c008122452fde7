#!/usr/bin/env bash
# Measures the main path on a lab of its own and prints one JSON object a line: {"name":...,"value":...,"unit":...}.
# A drill is one object with all its measures. It judges nothing. BENCH_RUNS (default 3) whole rounds; quote medians, and ratios within one run.
# As root, after `make build bundle`.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${BENCH_RUNS:-3}
netns=provision-bench

if [ "${PROVISION_BENCH_INSIDE:-}" != 1 ]; then
  bin/lab image >&2
  ip netns add "$netns"
  dir=$(mktemp -d)
  cleanup() { bin/lab down --dir "$dir/lab" >&2 || true; ip netns del "$netns" || true; rm -rf "$dir"; }
  trap cleanup EXIT
  trap 'exit 130' INT TERM
  ip -n "$netns" link set lo up
  PROVISION_BENCH_INSIDE=1 BENCH_DIR=$dir ip netns exec "$netns" bash "$0"
  exit
fi

lab=$BENCH_DIR/lab
file=$lab/cluster.hcl
round=0

emit() { printf '{"name":"%s","value":%s,"unit":"%s","round":%d}\n' "$1" "$2" "$3" "$round"; }
timed() { # NAME COMMAND...: the command's wall time
  local name=$1 start end
  shift
  start=$(date +%s.%N)
  "$@" >"$BENCH_DIR/out" 2>&1 || { cat "$BENCH_DIR/out" >&2; return 1; }
  end=$(date +%s.%N)
  emit "$name" "$(awk -v a="$start" -v b="$end" 'BEGIN { printf "%.2f", b - a }')" s
}

# Proportional set size of each of our units, in MiB, with everything in its control group.
pss='for unit in $(systemctl list-units --plain --no-legend --state=active "provision-*.service" | cut -d" " -f1); do
  group=$(systemctl show -p ControlGroup --value "$unit"); total=0
  for root in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
    [ -d "$root$group" ] || continue
    for pid in $(find "$root$group" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u); do
      kb=$(sed -n "s/^Pss: *\([0-9]*\) kB/\1/p" /proc/$pid/smaps_rollup 2>/dev/null); total=$((total + ${kb:-0}))
    done
    break
  done
  name=${unit#provision-}; echo "${name%.service} $((total / 1024))"
done'

memory() { # MACHINE ROLE
  local total=0 unit mib
  while read -r unit mib; do
    emit "pss/$2/$unit" "$mib" MiB
    total=$((total + mib))
  done < <(bin/provision ssh "$file" "$1" -- sh -c "$pss")
  emit "pss/$2/total" "$total" MiB
}

for bundle in dist/bundle-*.tar.zst; do
  emit "bundle/$(basename "$bundle" .tar.zst)" "$(awk -v b="$(stat -c %s "$bundle")" 'BEGIN { printf "%.1f", b / 1e6 }')" MB
done
for round in $(seq "$runs"); do
  timed lab-up bin/lab up --masters 1 --workers 2 --dir "$lab"
  timed up bin/provision up "$file" --yes
  timed up-nothing-to-do bin/provision up "$file" --yes
  timed plan-nothing-to-do bin/provision plan "$file"
  timed verify bin/provision verify "$file"
  sleep 30 # idle is what is measured next
  memory m1 master
  memory w1 worker
  bin/provision verify "$file" --failover worker --yes --json 2>/dev/null | sed -n 's/^{"drill"/{"round":'"$round"',"drill"/p'
  timed down bin/provision down "$file" --yes
  timed lab-down bin/lab down --dir "$lab"
done
# A lab of its own: the overlay's units at rest, and how soon a Node's end and return reach the other machines' wg0.
go test -tags lab -count=1 -timeout 20m -run '^$' -bench '^BenchmarkMembership$' ./provisioner/e2e >"$BENCH_DIR/out" 2>&1 || { cat "$BENCH_DIR/out" >&2; exit 1; }
grep '^{' "$BENCH_DIR/out"
