#!/usr/bin/env bash
# The whole test, as `make test` and CI run it: style, the examples by their own tools, unit tests, the tool built
# for every platform, the bundle, the lab tests on real machines, and the overlay on emulated ones with a kernel of
# their own. As root on Debian or Ubuntu it installs what it needs; elsewhere the lab tests need root, and what is
# missing is listed. TEST_SKIP_LAB=1 leaves the lab tests out, and TEST_MINUTES what would begin later than that; both say so.
set -euo pipefail
cd "$(dirname "$0")/.."

# As `make build` compiles: what tests and programs have in common is compiled once.
export CGO_ENABLED=0 GOFLAGS="-buildvcs=false -trimpath"

step() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }

step style
unformatted=$(git ls-files -z "*.go" | xargs -0 gofmt -l)
[ -z "$unformatted" ] || { echo "not formatted: $unformatted" >&2; exit 1; }

step examples
testenv/examples.sh

step unit tests
go vet ./...
go test ./...

step every platform
for os in linux darwin; do
  for arch in amd64 arm64; do
    GOOS=$os GOARCH=$arch go build -o /dev/null ./provisioner/cmd/provision
  done
done
for arch in amd64 arm64; do
  GOOS=linux GOARCH=$arch go build -o /dev/null ./components/agent
done

if [ "${TEST_SKIP_LAB:-}" = 1 ]; then
  echo "the lab tests were left out: TEST_SKIP_LAB=1" >&2
  exit 0
fi
[ "$(id -u)" = 0 ] || { echo "the lab tests boot machines: run as root, or set TEST_SKIP_LAB=1 to leave them out" >&2; exit 1; }

step programs and bundle
testenv/prepare.sh
testenv/browser.sh
make --no-print-directory build bundle
make --no-print-directory bundle KUBERNETES=1.35.4 # TestUpgrade begins with it
bin/lab image # before the namespace is entered, which has no way to any package
bin/lab image --flavor docker

# The node binary of the bundle, for the tests that run it without machines.
unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
read -r id bundle < <(bin/provision version | sed -n 's/^newest bundle: \([^ ]*\) (\(.*\))$/\1 \2/p')
go build -o "$unpacked/agent" ./components/agent
"$unpacked/agent" unpack --root "$unpacked" --id "$id" <"$bundle"
export PROVISION_NODE=$unpacked/$id/bin/node

# The lab's cable ends in a network namespace of our own: the host's stays as it is.
netns=provision-test-$$
ip netns add "$netns"
cleanup() {
  bin/lab sweep || true
  ip netns del "$netns" || true
  rm -rf "$unpacked"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
ip -n "$netns" link set lo up

# A lab test that fails prints its machines' logs: what it found wrong stands once more at the end.
said=$unpacked/said
lab_tests() {
  "$@" 2>&1 | tee "$said" | grep -v -e '^=== RUN' -e '\[no test files\]' && return
  what_failed_said
  return 1
}

what_failed_said() {
  printf '\n== what the tests that failed said\n'
  awk '/^=== (RUN|NAME|CONT)/ { test = $3; lines = 99; next }
    /^ *--- / { if ($2 == "FAIL:") printf "%s\n%s", $0, said[$3]; lines = 99; next }
    /^ +[a-z0-9_]+_test\.go:[0-9]+: / { lines = /: provision .*: [0-9.]+ s$|: bin\/provision |: (m|w)[0-9]+.s log$/ ? 99 : 0 }
    lines++ < 12 { said[test] = said[test] substr($0, 1, 600) "\n" }' "$said" | tail -n 150
}

# Tests of whole clusters, the most telling first.
order=(TestMainPath TestThreeMasters TestUpgrade TestKilled TestSecurity TestRestore TestRenewal TestTeardown TestOverlay
  TestBrokenOff TestTwoWorkers TestKilledUpgrade TestSudoUserBehindBastion TestDualStack TestNeighbours TestFanOut)
late=() again=()

clusters() {
  local test
  go test -tags lab -c -o "$unpacked/e2e.test" ./provisioner/e2e
  diff <(printf '%s\n' "${order[@]}" | sort) <(cd provisioner/e2e && "$unpacked/e2e.test" -test.list '^Test' | sort) ||
    { echo "the order of tests in testenv/test.sh is not what provisioner/e2e has" >&2; return 1; }
  for test in "${order[@]}"; do
    if no_time; then
      late+=("$test")
      continue
    fi
    cluster "$test" && continue
    # Their machines share the cores of one computer, with whatever else runs on it: a test that failed is run once
    # more, two of them at the most. It is told in the end as well, since what passes at the second try only is worth a look.
    again+=("$test")
    if [ "${#again[@]}" -gt 2 ] || no_time; then
      return 1
    fi
    step "once more: $test"
    cluster "$test" || return 1
  done
}

cluster() {
  (cd provisioner/e2e && lab_tests ip netns exec "$netns" "$unpacked/e2e.test" -test.run "^$1\$" -test.timeout 25m -test.v)
}

# TEST_MINUTES is for those who have a limit: what would begin later is left out then, and named in the end.
no_time() { [ -n "${TEST_MINUTES:-}" ] && [ "$SECONDS" -gt $((TEST_MINUTES * 60)) ]; }

step lab tests
# These make namespaces of their own, and need the control groups that entering one hides.
lab_tests go test -tags lab -count=1 -p 1 -timeout 40m -v ./components/... ./provisioner/report
lab_tests ip netns exec "$netns" go test -tags lab -count=1 -p 1 -timeout 20m -v ./testenv/... ./overlay/... ./provisioner/facts
clusters

if [ "$(uname -m)" != x86_64 ]; then
  echo "the overlay on emulated machines was left out: they are amd64, and this is $(uname -m)" >&2
elif no_time; then
  late+=("the overlay on emulated machines")
else
  step kernel WireGuard
  testenv/kernel.sh
fi
step "done${late:+; left out, since TEST_MINUTES=${TEST_MINUTES:-} were over: ${late[*]}}${again:+; passed at the second try only: ${again[*]}}"
