# Removes bundles that nothing here needs, and agents that are of no bundle that is left. $1 folder of bundles and
# agents, $2 of unit files, $3 of containerd's state; the rest are the bundles' names.
root=$1 units=$2 state=$3
shift 3
# What was renamed is no bundle to anybody any more: a removal that is cut off leaves none in part.
remove() {
  mv -- "$root/$1" "$root/.removing-$1"
  rm -rf -- "$root"/.removing-*
}
# A pod's containers keep the shim and the runc that it began with, and containerd, when it starts, takes down a pod
# whose shim's file is gone: both are named in their folders, whatever runs at the moment.
needed=$({
  cat "$units"/provision-*
  readlink /proc/[0-9]*/exe
  find "$state" -maxdepth 4 -type f \( -name shim-binary-path -o -name options.json -o -name runtime \) -exec cat {} +
} 2>/dev/null | grep -ao "$root/[0-9A-Za-z.-]*" | sort -u)
# Units of ours are there, and say what they are of.
[ -n "$needed" ] || { echo "nothing here names a bundle or an agent" >&2; exit 1; }
is_needed() { printf '%s\n' "$needed" | grep -qxF "$root/$1"; }
for id; do
  if [ -d "$root/$id" ] && ! is_needed "$id"; then remove "$id"; fi
done
kept=$(for agent in "$root"/*/bin/agent; do sha256sum <"$agent" | cut -c 1-12; done 2>/dev/null)
for dir in "$root"/agent-*/; do
  name=$(basename "$dir")
  printf '%s\n' "$kept" | grep -qxF "${name#agent-}" || is_needed "$name" || remove "$name"
done
