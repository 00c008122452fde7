#!/bin/bash
# Shows that equal sources give equal bundles: builds one here and one from a
# copy in another folder, with nothing of what was built before, and compares.
# Usage: reproducible.sh [KUBERNETES]; FULL=1 compiles the copy with an empty
# Go cache as well, which takes as long as the first build on a new machine.
set -eu

version=${1:-1.36.3}
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/provision-reproducible.XXXXXX")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

mkdir "$work/a-longer-name"
(cd "$root" && git ls-files -z --cached --others --exclude-standard -- . |
	while IFS= read -r -d '' name; do [ -e "$name" ] && printf '%s\0' "$name"; done |
	tar --null -T - -cf -) | tar -C "$work/a-longer-name" -xf -

build() { (cd "$1" && go run ./components/bundle/mkbundle --kubernetes="$version" --out="$2" --cache="$3"); }

build "$root" "$work/one" "$work/cache-one"
if [ -n "${FULL:-}" ]; then
	GOCACHE=$work/gocache
	export GOCACHE
fi
build "$work/a-longer-name" "$work/two" "$work/cache-two"

cd "$work"
for file in one/*; do
	sha256sum "$file" "two/${file#one/}"
	if ! cmp -s "$file" "two/${file#one/}"; then
		echo "reproducible: the two bundles differ in:" >&2
		for side in one two; do
			zstd -dc "$side/${file#one/}" | tar -xO -f - manifest.json | tr '{' '\n' | sort >"$side.txt"
		done
		diff one.txt two.txt >&2 || true
		exit 1
	fi
done
echo "reproducible: equal"
