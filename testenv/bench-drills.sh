#!/usr/bin/env bash
# Runs every drill of `provision verify --failover` for ten rounds (PROVISION_DRILL_ROUNDS) on a lab of three masters and two workers, and
# prints each as one JSON object a line; at the end {"name":"drills/KIND/MEASURE","median":..,"min":..,"max":..,"unit":..} of each measure,
# where jq is there. It judges nothing. As root, after `make build bundle`; about six minutes a round.
set -euo pipefail
cd "$(dirname "$0")/.."
netns=provision-bench-drills-$$
bin/lab image >&2
dir=$(mktemp -d)
cleanup() { bin/lab sweep >&2 || true; ip netns del "$netns" 2>/dev/null || true; rm -rf "$dir"; }
trap cleanup EXIT
trap 'exit 130' INT TERM
ip netns add "$netns"
ip -n "$netns" link set lo up
ip netns exec "$netns" go test -tags lab -count=1 -timeout 3h -run '^$' -bench '^BenchmarkDrills$' -benchtime 1x ./provisioner/e2e |
  tee "$dir/out" | sed -n 's/^[^{]*{"drill"/{"drill"/p' | tee "$dir/drills"
command -v jq >/dev/null || exit 0
jq -cs '[.[] | .kind as $kind | .measures[] | select(.value != null) | {name: "drills/\($kind)/\(.name)", unit, value}] | group_by(.name)[] |
  (map(.value) | sort) as $all | {name: .[0].name, median: $all[length / 2 | floor], min: $all[0], max: $all[-1], unit: .[0].unit, rounds: length}' "$dir/drills"
