#!/bin/sh
# Launches the machines m1, w1 and w2 with Multipass, and writes site.hcl: cluster.hcl
# with their addresses and host keys. Machines that are there are left as they are.
#
#   ./up.sh [PUBLIC_KEY_FILE]    default: ~/.ssh/id_ed25519.pub
#
# The host keys come through Multipass itself (multipass exec), not over the network
# that they are to protect, so nothing has to be taken on trust.
set -eu
cd "$(dirname "$0")"

key=${1:-$HOME/.ssh/id_ed25519.pub}
[ -r "$key" ] || { echo "up: there is no public key at $key; name yours: ./up.sh FILE.pub" >&2; exit 1; }
public=$(awk 'NR == 1 { print $1 " " $2 }' "$key" | grep -Ex '(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+') ||
  { echo "up: $key is no public key" >&2; exit 1; }

memory() { if [ "$1" = m1 ]; then echo 2G; else echo 1536M; fi; }

# The file goes to Multipass on standard input: as a snap it may not read every folder.
for name in m1 w1 w2; do
  multipass info "$name" >/dev/null 2>&1 && continue
  sed "s|PUBLIC_KEY|$public|" cloud-init.yaml |
    multipass launch 24.04 --name "$name" --cpus 2 --memory "$(memory "$name")" --disk 10G --cloud-init -
done

# What a machine says goes into a file that is read as more than text: only what
# looks as it should.
address() {
  multipass list --format csv | awk -F, -v name="$1" '$1 == name { print $3 }' | grep -Ex '[0-9]+(\.[0-9]+){3}'
}
host_key() {
  multipass exec "$1" -- cat /etc/ssh/ssh_host_ed25519_key.pub | awk '{ print $1 " " $2 }' | grep -Ex 'ssh-ed25519 [A-Za-z0-9+/=]+'
}

edits=
for name in m1 w1 w2; do
  case $name in m1) placeholder=192.0.2.11 ;; w1) placeholder=192.0.2.21 ;; w2) placeholder=192.0.2.22 ;; esac
  address=$(address "$name") || { echo "up: multipass list shows no IPv4 address of $name; is it running?" >&2; exit 1; }
  host_key=$(host_key "$name") || { echo "up: $name shows no ed25519 host key" >&2; exit 1; }
  edits="$edits
s|\"$placeholder\"|\"$address\"|
s|\"ssh-ed25519 [^\"]* $name\"|\"$host_key $name\"|"
done
{
  echo "# Written by up.sh, from cluster.hcl."
  sed -e '1,/^$/d' -e "$edits" cluster.hcl
} >site.hcl.new
mv site.hcl.new site.hcl
echo "wrote site.hcl; go on with: provision up $(pwd)/site.hcl"
