#!/usr/bin/env bash
# The whole test, as `make test` and CI run it: style, the examples by their own tools, unit tests, the tool built
# for every platform, the bundle, the lab tests on real machines, and the overlay on emulated ones with a kernel of
# their own. As root on Debian or Ubuntu it installs what it needs; elsewhere the lab tests need root, and what is
# missing is listed. TEST_SKIP_LAB=1 leaves the lab tests out, and says so.
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

# Whole clusters share the cores of one computer, with whatever else runs on it: one or two tests of them that failed
# are tried once more, alone, and must pass then. Both are told: what passed at the second try alone is worth a look.
clusters() {
  local test=(ip netns exec "$netns" go test -tags lab -count=1 -timeout "$((most - SECONDS))s" -v ./provisioner/e2e/...) failed
  lab_tests "${test[@]}" && return
  mapfile -t failed < <(sed -n 's/^--- FAIL: \([A-Za-z0-9]*\) .*/\1/p' "$said")
  if [ "${#failed[@]}" = 0 ] || [ "${#failed[@]}" -gt 2 ] || [ "$SECONDS" -gt $((most - 1200)) ] || grep -q '^panic: ' "$said"; then
    return 1
  fi
  step "once more: ${failed[*]}"
  lab_tests "${test[@]}" -run "^($(IFS='|'; echo "${failed[*]}"))\$" || return 1
  again="passed at the second try only: ${failed[*]}"
}
again=
most=5000 # seconds from the beginning to the end of these tests

step lab tests
# These make namespaces of their own, and need the control groups that entering one hides.
lab_tests go test -tags lab -count=1 -p 1 -timeout 40m -v ./components/... ./provisioner/report
lab_tests ip netns exec "$netns" go test -tags lab -count=1 -p 1 -timeout 20m -v ./testenv/... ./overlay/... ./provisioner/facts
clusters

if [ "$(uname -m)" = x86_64 ]; then
  step kernel WireGuard
  testenv/kernel.sh
else
  echo "the overlay on emulated machines was left out: they are amd64, and this is $(uname -m)" >&2
fi
step "done${again:+, but }$again"
