# shellcheck shell=bash
# Takes the agent from another machine that offers it: see components/handover. As root, by bash, with the token on
# standard input. $1 address, $2 port, $3 the agent's path, $4 its SHA-256. Whatever fails here, the operator sends it.
set -e
umask 022
read -r token
timeout 3 bash -c ': <>"/dev/tcp/$0/$1"' "$1" "$2"
mkdir -p "${3%/*}"
new=${3%/*}/.tmp-agent
trap 'rm -f "$new"' EXIT
exec 3<>"/dev/tcp/$1/$2"
read -r -t 5 challenge <&3
answer=$(printf %s%s "$token" "$challenge" | sha256sum)
printf '%s\n' "${answer%% *}" >&3
cat <&3 >"$new"
echo "$4  $new" | sha256sum -c --status
chmod 755 "$new"
sync -- "$new"
mv -f "$new" "$3"
