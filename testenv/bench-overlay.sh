#!/usr/bin/env bash
# Measures the overlay alone, in network namespaces, and prints one JSON object a line, as bench.sh does: throughput and round trip beside
# a hand-made WireGuard pair and beside no encryption; the memory of the userspace device with 20 peers under load, and with peers that are
# off; what two pods notice of each fault. It judges nothing. As root; about 10 minutes. OVERLAY_ROUNDS (15) and OVERLAY_SLICE (1s) are
# Speed's, OVERLAY_LOAD (60s) is that of the two loads; arguments are the names of benchmarks, all four without any.
set -euo pipefail
cd "$(dirname "$0")/.."
netns=provision-bench-overlay-$$

dir=$(mktemp -d)
cleanup() { ip netns del "$netns" 2>/dev/null || true; rm -rf "$dir"; }
trap cleanup EXIT
trap 'exit 130' INT TERM
ip netns add "$netns"
ip -n "$netns" link set lo up
go test -tags lab -c -o "$dir/agent.test" ./overlay/agent

# The figures of a benchmark's line are "value unit" in turn, after its name, the count and the time of it all.
# A fault of Chaos is one object with all its measures.
figures='
/^Benchmark/ && NF > 4 {
  name = $1; sub(/^Benchmark/, "", name); sub(/-[0-9]+$/, "", name)
  for (i = 5; i < NF; i += 2) {
    unit = $(i + 1); what = ""
    if (match(unit, /(Mbit\/s|MiB-peak|MiB-after|CPU-s\/GB|µs)$/)) { what = substr(unit, 1, RSTART - 1); unit = substr(unit, RSTART) }
    if (unit ~ /^ratio/ || what ~ /^ratio/) { what = what unit; unit = "ratio" }
    sub(/-$/, "", what)
    printf "{\"name\":\"overlay/%s%s\",\"value\":%s,\"unit\":\"%s\"}\n", name, what == "" ? "" : "/" what, $i, unit
  }
}'
faults='s|^ *chaos_test.go:[0-9]*: \(.*[^ ]\) *longest silence *\([0-9]*\) ms, *\([0-9]*\) of \([0-9]*\) echoes lost, TCP stream \([a-z]*\).*, \([0-9]*\) packets in clear of \([0-9]*\), \([0-9]*\) peers.*|{"name":"overlay/Chaos","fault":"\1","silence_ms":\2,"lost":\3,"echoes":\4,"stream":"\5","packets_in_clear":\6,"packets":\7,"peers":\8}|p
s|^ *chaos_test.go:[0-9]*: \(.*[^ ]\) *pods. network from the start of its units: \([0-9]*\) ms|{"name":"overlay/Chaos","fault":"\1","network_after_ms":\2}|p'

for name in "${@:-Speed TwentyPeers SilentPeers Chaos}"; do
  for one in $name; do
    out=$dir/$one.out
    ip netns exec "$netns" "$dir/agent.test" -test.run '^$' -test.bench "^Benchmark$one\$" -test.benchtime 1x -test.v -test.timeout 20m >"$out" 2>&1 || { cat "$out" >&2; exit 1; }
    awk "$figures" "$out"
    sed -n "$faults" "$out"
  done
done
