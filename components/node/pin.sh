#!/bin/sh
# Writes kubernetes-VERSION.mod and .sum, from which `make bundle
# KUBERNETES=VERSION` builds. Usage: pin.sh 1.35.4
#
# Kubernetes' own go.mod replaces its staging modules by folders that a module
# does not have; here they become the versions that were published with it. etcd
# is the version that this Kubernetes was released with.
set -eu

version=${1:?usage: pin.sh VERSION, like 1.35.4}
cd "$(dirname "$0")"
export GOFLAGS='' GOWORK=off

theirs=$(go mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/.*"GoMod": "\(.*\)",*/\1/p')
staging=$(sed -n 's|^\s*\(k8s.io/[^ ]*\) => \./staging/.*|\1|p' "$theirs" | sort -u)
pinned() { sed -n "s|^\s*$1 \(v[^ ]*\).*|\1|p" "$2" | head -n 1; }
[ -n "$staging" ] || { echo "pin: $theirs names no staging modules" >&2; exit 1; }

file=kubernetes-$version.mod
{
	echo "module provision/components/node"
	echo
	sed -n '/^go /p' go.mod
	echo
	echo "godebug default=go$(sed -n 's/^go \([0-9]*\.[0-9]*\).*/\1/p' "$theirs")"
	echo
	echo "require ("
	for module in github.com/coreos/go-systemd/v22 github.com/spf13/cobra; do
		echo "	$module $(pinned "$module" go.mod)"
	done
	for module in etcdutl server; do
		echo "	go.etcd.io/etcd/$module/v3 $(pinned go.etcd.io/etcd/client/v3 "$theirs")"
	done
	echo "	k8s.io/component-base v0.${version#*.}"
	echo "	k8s.io/kubernetes v$version"
	echo ")"
	echo
	echo "replace ("
	for module in $staging; do
		echo "	$module => $module v0.${version#*.}"
	done
	echo ")"
} >"$file"
: >"kubernetes-$version.sum"
go mod tidy -modfile="$file"
echo "pinned: now make bundle KUBERNETES=$version shows whether it compiles"
