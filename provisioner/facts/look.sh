# Looks at a machine and changes nothing. Runs on sh's standard input, as root, with
#   $1 the sysctls to read, $2 the modules to look for, $3 files to sum besides ours, $4 the names of our units
#   (each list separated by spaces)
# and prints records, one a line: a keyword, then fields separated by single spaces; the last field may hold spaces.
LC_ALL=C; export LC_ALL
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH
set -f
# cat, not read: the shell reads byte by byte, and a sysctl answers only the first read.
first() { cat "$1" 2>/dev/null | head -n 1; }

# A removal that goes on after its provision was killed takes away what would be found now. It ends soon.
[ -d /var/lib/provision ] && flock -s -w 90 /var/lib/provision true 2>/dev/null

echo "now $(date +%s.%N)"
echo "hostname $(uname -n)"
echo "machine-id $(first /etc/machine-id)"
echo "boot-id $(first /proc/sys/kernel/random/boot_id)"
echo "kernel $(uname -r)"
echo "arch $(uname -m)"
if [ -r /etc/os-release ]; then
  ( . /etc/os-release; echo "os-id $ID"; echo "os-version $VERSION_ID"; echo "os-pretty $PRETTY_NAME" )
fi
[ -d /run/systemd/system ] && echo "systemd $(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')"
if [ "$(stat -fc %T /sys/fs/cgroup 2>/dev/null)" = cgroup2fs ]; then echo "cgroup 2"; else echo "cgroup 1"; fi
if [ -r /sys/fs/cgroup/cgroup.controllers ]; then echo "control $(first /sys/fs/cgroup/cgroup.controllers)"
else echo "control $(awk '$4 == 1 {printf "%s ", $1}' /proc/cgroups 2>/dev/null)"; fi
echo "cpus $(grep -c ^processor /proc/cpuinfo)"
echo "memory $(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)"
echo "disk-free $(df -Pk /var/lib | awk 'NR==2 {print $4}')"
opt=/opt; [ -d $opt ] || opt=/
[ "$(stat -c %d $opt)" = "$(stat -c %d /var/lib)" ] || echo "root-free $(df -Pk $opt | awk 'NR==2 {print $4}')"
case ,$(findmnt -no OPTIONS -T $opt 2>/dev/null), in *,noexec,*) echo "noexec yes" ;; esac
for f in $opt /etc /var/lib; do
  case ,$(findmnt -no OPTIONS -T $f 2>/dev/null), in *,ro,*) echo "read-only $f" ;; esac
done
[ -r /sys/fs/selinux/enforce ] && { [ "$(first /sys/fs/selinux/enforce)" = 1 ] && echo "selinux enforcing" || echo "selinux permissive"; }
ip -o addr show 2>/dev/null | awk '$2 != "lo" {print "address " $2 " " $4}'
ip -4 route show default 2>/dev/null | grep -q . && echo "default-route yes"

# A process may always raise its score; lowering it needs CAP_SYS_RESOURCE, which nested machines lack.
( echo -1 >/proc/self/oom_score_adj ) 2>/dev/null && echo "lower-oom yes"

for f in /run/systemd/resolve/resolv.conf /etc/resolv.conf; do
  [ -r "$f" ] && grep -q '^nameserver' "$f" && ! grep -Eq '^nameserver[[:space:]]+(127\.|::1)' "$f" && { echo "resolv-conf $f"; break; }
done

for name in $1; do
  f=/proc/sys/$(printf '%s' "$name" | tr . /)
  [ -r "$f" ] && echo "sysctl $name $(first "$f")"
done

modules=/lib/modules/$(uname -r)
[ -r "$modules/modules.dep" ] && echo "modules-known yes"
for name in $2; do
  if [ -d "/sys/module/$name" ] || grep -qs "/$name\.ko" "$modules/modules.builtin" "$modules/modules.dep"; then echo "module $name"; fi
done

# Ours. Secrets are not summed: that they are there is all that anybody needs to know. Only overlay.psk is, which
# must be the same everywhere: the sum of 32 random bytes tells nothing else.
set +f
# In the order in which they came.
ls -dtr /opt/provision/*/ 2>/dev/null | while read -r dir; do
  [ -f "$dir/manifest.json" ] || continue
  name=$(basename "$dir")
  case $name in .*|*.tmp*) continue ;; esac
  # Its name ends with the manifest's sum. Of the other files names, sizes and modes are compared; and one that is younger
  # than the seal was written since.
  case $name in *-"$(sha256sum <"$dir/manifest.json" | cut -c 1-12)") ;; *) echo "bundle-damaged $name/manifest.json"; continue ;; esac
  {
    (cd "$dir" || exit; newer=; [ -f sealed ] && newer='! -newer sealed'; find . -type f $newer -printf 'have %P %s %m\n')
    tr -d ' \n' <"$dir/manifest.json" | tr '{' '\n' | sed -n 's/^"name":"\([^"]*\)","size":\([0-9]*\),"sha256":"\([0-9a-f]\{64\}\)","mode":\([0-9]*\).*/want \1 \2 \4 \3/p'
  } | awk -v id="$name" '
    $1 == "have" {mode = 0; for (i = 1; i <= length($4); i++) mode = mode * 8 + substr($4, i, 1); have[$2] = $3 " " mode}
    $1 == "want" && have[$2] == $3 " " $4 {print "bundle-sum " $5}
    $1 == "want" && have[$2] != $3 " " $4 {print "bundle-damaged " id "/" $2; bad = 1}
    END {if (!bad) print "bundle " id}'
done
# What an interrupted upload has brought need not be sent again; a half written file has no sum that anybody wants.
for dir in /opt/provision/.tmp-unpack-*/; do
  [ -d "$dir" ] && find "$dir" -type f -exec sha256sum {} + 2>/dev/null | sed -n 's/^\([0-9a-f]\{64\}\) .*/bundle-sum \1/p'
done
# A disk that somebody gave one of our folders stays, empty, when a cluster goes.
anything() { find "$1" -mindepth 1 -maxdepth 1 ! -name lost+found 2>/dev/null; }
for dir in /opt/provision /etc/provision /var/lib/provision; do
  anything "$dir" | while read -r f; do
    mountpoint -q "$f" && [ -z "$(anything "$f" | head -n 1)" ] || { echo "trace $dir"; break; }
  done
done
# The youngest is asked: an older one may not know all that it is asked for.
# shellcheck disable=SC2045 # ours have no spaces in their names, and what is not ours has another sum
for agent in $(ls -dtr /opt/provision/agent-*/agent 2>/dev/null); do
  case $agent in */agent-"$(sha256sum 2>/dev/null <"$agent" | cut -c 1-12)"/*) [ -x "$agent" ] && echo "agent $agent" && agent_found=$agent ;; esac
done
# A name with a line break in it is none of ours; xargs takes any other as it is, quotes and spaces included.
each() { grep '^/' | tr '\n' '\0' | xargs -0 -r "$@" 2>/dev/null; }
sum() { each sha256sum | sed -n 's/^\([0-9a-f]\{64\}\)  /file-sum \1 /p'; }
mode() { each stat -c 'file-mode %a %n'; }
ours() {
  find /etc/provision /var/lib/provision/stamps -type f 2>/dev/null
  for u in $names; do [ -f "/etc/systemd/system/$u" ] && echo "/etc/systemd/system/$u"; done
  for f in $extra; do [ -f "$f" ] && echo "$f"; done
}
extra=$3 names=$4
ours | grep -v -e '\.key$' -e '/encryption\.yaml$' | sum
{ ours; [ -d /etc/provision/pki ] && echo /etc/provision/pki; } | mode
set -f
units=$(for u in $names; do f=/etc/systemd/system/$u; { [ -e "$f" ] || [ -L "$f" ]; } && echo "$u"; done | grep -E '\.(service|timer)$')
if [ -n "$units" ]; then
  # A unit's file and its process both carry PROVISION_SUM, the sum of all that the process was to read.
  # One that has no process, since it fails again and again, is old where systemd has not read its file again.
  # One that is down in the middle of a restart, waiting for those that it comes after, has a job: it is on its way.
  systemctl show -p Id,ActiveState,UnitFileState,MainPID,NeedDaemonReload,Job $units 2>/dev/null | awk -F= '
    function out() { if (id != "") print id, (job && active != "active" ? "activating" : active), (enabled == "" ? "-" : enabled), pid, reload; id = ""; job = 0; pid = 0 }
    $1 == "Id" {id = $2} $1 == "ActiveState" {active = $2} $1 == "UnitFileState" {enabled = $2} $1 == "MainPID" {pid = $2}
    $1 == "NeedDaemonReload" {reload = $2} $1 == "Job" {job = $2 + 0}
    $0 == "" {out()} END {out()}' |
  while read -r id active enabled pid reload; do
    runs=; [ "$reload" = yes ] && runs=unread
    [ "$pid" != 0 ] && runs=$(tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | sed -n 's/^PROVISION_SUM=//p' | head -n 1)
    wants=$(sed -n 's/^Environment=PROVISION_SUM=//p' "/etc/systemd/system/$id" 2>/dev/null | head -n 1)
    bundle=$(sed -n 's,^ExecStart=/opt/provision/\([0-9][A-Za-z0-9.+-]*\)/bin/.*,\1,p' "/etc/systemd/system/$id" 2>/dev/null | head -n 1)
    echo "unit $id $active $enabled ${runs:--} ${wants:--} ${bundle:--}"
  done
fi
awk '/^  "problems": \[$/ {on = 1; next} /^  \]/ {on = 0} on {sub(/^ */, ""); sub(/,$/, ""); print "overlay-problem " $0}' \
  /run/provision/overlay/status.json 2>/dev/null | head -n 20
grep -qs '"preshared_key_file":' /etc/provision/overlay.json && echo "preshared yes"
[ -d /etc/provision/pki ] && [ -n "$agent_found" ] && printf 'certificates %s\n' "$("$agent_found" certificates list --dir /etc/provision/pki 2>/dev/null | tr -d '\n')"
if [ -d /var/lib/provision/etcd/member/wal ]; then
  echo "etcd-data yes"
  node=$(sed -n 's,^ExecStart=\(/opt/provision/[A-Za-z0-9.-]*/bin/node\) etcd .*,\1,p' /etc/systemd/system/provision-etcd.service 2>/dev/null)
  [ -x "$node" ] && systemctl is-active -q provision-etcd && echo "etcd $("$node" etcd-members list 2>/dev/null | tr -d '\n')"
fi
[ -f /etc/provision/node.json ] && echo "node $(head -c 4096 /etc/provision/node.json | tr '\n' ' ')"
[ -f /var/lib/provision/lock/generation ] && echo "generation $(first /var/lib/provision/lock/generation)"
set +f

# Neighbours.
# Whose a port is matters until it is ours.
{
  [ -z "$units" ] && ss -H -lntupe 2>/dev/null | sed -n 's/.*users:(("\([^"]*\)".* ino:\([0-9]*\) .*/owner \2 \1/p'
  for proto in tcp tcp6 udp udp6; do [ -r /proc/net/$proto ] && sed "1d; s/^/$proto /" /proc/net/$proto; done
} | awk '
  $1 == "owner" {name = $0; sub(/^owner [0-9]+ /, "", name); owner[$2] = name; next}
  ($1 ~ /tcp/ && $5 == "0A") || ($1 ~ /udp/ && $5 == "07") {print "listen " $1 " " $3 " " $11 (owner[$11] == "" ? "" : " " owner[$11])}'
any() { for f; do [ -e "$f" ] && echo "$f" && return; done; return 1; }
f=$(any /usr/local/bin/k3s /var/lib/rancher/k3s) && echo "foreign k3s is installed ($f; k3s-uninstall.sh removes it)"
f=$(any /etc/rancher/rke2 /var/lib/rancher/rke2) && echo "foreign rke2 is installed ($f; rke2-uninstall.sh removes it)"
f=$(any /var/snap/microk8s /snap/microk8s) && echo "foreign microk8s is installed ($f; \`snap remove --purge microk8s\` removes it)"
f=$(any /var/lib/k0s /etc/k0s /etc/systemd/system/k0scontroller.service /etc/systemd/system/k0sworker.service) && echo "foreign k0s is installed ($f; \`k0s reset\` removes it)"
for f in /etc/kubernetes/kubelet.conf /etc/kubernetes/admin.conf /etc/kubernetes/manifests/*.yaml; do
  [ -f "$f" ] && echo "foreign kubeadm has set this machine up ($f; \`kubeadm reset\` undoes that)" && break
done
systemctl is-active -q kubelet 2>/dev/null && echo "foreign a kubelet.service is running"
kubelet=; for f in /etc/systemd/system/provision-kubelet.service /etc/provision/kubelet.yaml /etc/provision/kubelet.kubeconfig; do [ -e $f ] && kubelet=ours; done
[ -z "$kubelet" ] && [ -n "$(find /var/lib/kubelet -mindepth 1 -maxdepth 1 ! -name lost+found 2>/dev/null | head -n 1)" ] && echo "foreign /var/lib/kubelet is not empty, and no kubelet of ours is here"
for link in bridge0 wg0; do
  [ -z "$units" ] && [ -e /sys/class/net/$link ] && [ "$(first /sys/class/net/$link/ifalias)" != provision ] && echo "foreign a link named $link that is not ours, a name that the pods' network needs"
done
# podman and nerdctl have networks of their own, which disturb nobody.
cni=$(ls /etc/cni/net.d 2>/dev/null | grep -E '\.conf(list)?$' | grep -vE 'podman|nerdctl|crio|loopback' | head -n 1)
[ -n "$cni" ] && echo "foreign the pod network of another Kubernetes is configured (/etc/cni/net.d/$cni)"

# Firewalls that drop what no rule accepts, and what theirs accept.
tables=
if command -v nft >/dev/null; then
  tables=$(nft list chains 2>/dev/null | awk '$1 == "table" {table = $2 " " $3}
    $2 == "filter" && $3 == "hook" && ($4 == "forward" || $4 == "input") && /policy drop/ && table ~ /^(inet|ip) [A-Za-z0-9_.-]+$/ {print "firewall " $4 " " table}')
fi
if [ -n "$tables" ]; then
  echo "$tables"
  echo "$tables" | cut -d' ' -f3- | sort -u | while read -r family table; do
    nft list table "$family" "$table" 2>/dev/null | sed 's/^[[:space:]]*//' | grep -E '^chain |accept' | head -n 500 | sed "s/^/firewall-rule $family $table /"
  done
fi
if grep -qsx filter /proc/net/ip_tables_names && save=$(command -v iptables-legacy-save); then
  rules=$($save -t filter 2>/dev/null | head -n 2000)
  for hook in INPUT FORWARD; do
    echo "$rules" | grep -Eq "^:$hook DROP|^-A $hook -j (DROP|REJECT)" && echo "firewall $(echo $hook | tr A-Z a-z) legacy filter"
  done
  echo "$rules" | sed -n '/ACCEPT$/s/^-A/firewall-rule legacy filter -A/p'
fi
echo "end"
