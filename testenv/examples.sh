#!/usr/bin/env bash
# Checks what Go's tests cannot: every shell file with shellcheck, the Vagrantfile with Ruby (the tests of
# provisioner/config then evaluate it), cloud-init.yaml with cloud-init's own schema. As root on Debian or Ubuntu it
# installs the tools; elsewhere a check whose tool is missing is left out, and said to be.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for need in shellcheck:shellcheck ruby:ruby dpkg-deb:dpkg; do
  command -v "${need%%:*}" >/dev/null || missing+=("${need#*:}")
done
# cloud-init itself is never installed: it would think that this computer is its to set up. Its schema needs these.
python=/usr/bin/python3
modules='configobj, jinja2, jsonpatch, jsonschema, requests, yaml'
"$python" -c "import $modules" 2>/dev/null ||
  missing+=(python3 python3-configobj python3-jinja2 python3-jsonpatch python3-jsonschema python3-requests python3-yaml)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "examples: installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
      { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; }
  else
    echo "examples: LEFT OUT is what needs these packages (Debian's names): ${missing[*]}" >&2
  fi
fi

if command -v shellcheck >/dev/null; then
  # A file without #! is one that a machine's sh gets on standard input, but where it says which
  # shell that is. SC2010: where ls is read, it is asked only whether there is a name of some form.
  while IFS= read -r -d '' file; do
    shell=()
    [ "$(head -c 2 "$file")" = '#!' ] || grep -q '^# shellcheck shell=' "$file" || shell=(--shell=sh)
    shellcheck --severity=warning --exclude=SC2010 "${shell[@]}" "$file"
    echo "$file: shellcheck has nothing to say"
  done < <(git ls-files -z '*.sh' .ci/run)
fi

if command -v ruby >/dev/null; then
  ruby -c examples/vagrant/Vagrantfile | sed 's,^,examples/vagrant/Vagrantfile: ,'
fi

schema() { # DIR: the folder of Python modules that has cloud-init
  PYTHONPATH=$1 "$python" -m cloudinit.config.schema -c examples/multipass/cloud-init.yaml
}
if command -v cloud-init >/dev/null; then
  schema /usr/lib/python3/dist-packages
elif "$python" -c "import $modules" 2>/dev/null && command -v apt-get dpkg-deb >/dev/null; then
  dir=$(mktemp -d)
  trap 'rm -rf "$dir"' EXIT
  chmod 755 "$dir" # apt downloads as a user of its own
  (cd "$dir" && { apt-get download -qq cloud-init || { apt-get update -qq && apt-get download -qq cloud-init; }; }) 2>/dev/null
  dpkg-deb -x "$dir"/cloud-init_*.deb "$dir"
  schema "$dir/usr/lib/python3/dist-packages"
else
  echo "examples: LEFT OUT is cloud-init.yaml's schema: neither cloud-init nor a way to its package is here" >&2
fi
