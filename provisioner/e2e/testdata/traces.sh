# Lists what a cluster might leave on a machine, a line each, sorted: run before `up` and after `down`.
# What changes by itself is left out: logs, caches, clocks, counters, logins.
LC_ALL=C; export LC_ALL
PATH=/usr/sbin:/usr/bin:/sbin:/bin; export PATH
list() { sed "s/^/$1 /" | sort -u; }

# An address that the kernel still checks for a double has no route yet: wait, 10 s at most.
for _ in $(seq 100); do
  ip -o addr show tentative | grep -q . || break
  sleep 0.1
done

find / /run -xdev \( \
  -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /var/tmp -o -path /var/log -o -path /var/cache -o -path /var/lib/systemd -o \
  -path /run/systemd -o -path /run/log -o -path /run/user -o -path /run/sudo -o -path /run/docker -o -path /run/containerd -o \
  -path /var/lib/docker -o -path /var/lib/containerd \
  \) -prune -o -printf '%y %m %U:%G %p %l\n' | list file
find /etc -xdev -type f -exec sha256sum {} + | list content
find /var/log -xdev -mindepth 1 -maxdepth 1 -printf '%y %p\n' | list log
systemctl list-unit-files --no-legend --plain | awk '{print $1, $2}' | list unit-file
systemctl list-units --all --no-legend --plain | awk '{print $1, $2, $3}' |
  grep -vE '^(session-|user@|user-|run-|systemd-tmpfiles|systemd-|dev-|sys-|init\.scope|ssh@)|\.(mount|device) |not-found' | list unit
awk '{print $5, $(NF-2)}' /proc/self/mountinfo | grep -v ' /run/user' | list mount
ip -o link | awk -F': ' '{print $2}' | sed 's/@.*//' | list link
ip -o addr | awk '{print $2, $4}' | list address
{ ip route show table all; ip -6 route show table all; } | list route
{ ip rule; ip -6 rule; } | list rule
nft list ruleset | sed -E 's/packets [0-9]+ bytes [0-9]+//' | awk '/^table/ {t = $2 " " $3} {print t ": " $0}' | list nft
sysctl -a 2>/dev/null | grep -vE '^(kernel\.(random|ns_last_pid|pty\.nr|tainted)|fs\.(quota|dentry-state|file-nr|inode-|aio-nr|mqueue)|vm\.stat|net\.netfilter\.nf_conntrack_count|net\.ipv4\.(conf|neigh)\.veth|net\.ipv6\.)' | list sysctl
# A module stays loaded: somebody else may use it by now.
find /sys/fs/cgroup -type d | grep -vE 'user\.slice|session-|/system\.slice/(ssh|run-|systemd-|user)' | list cgroup
ps -eo user,args --no-headers | grep -vE '\[|sshd|sftp|ps -eo|sort|sed |sh -|bash|grep|systemd|find |awk|\(sd-pam\)' | list process
