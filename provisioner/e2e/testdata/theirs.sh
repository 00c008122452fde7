# What a machine has of its own: data, settings, docker, and firewalls, made at each boot by a unit that is named like ours.
set -e
mkdir -p /srv/data && echo mine >/srv/data/keep
cat >/usr/local/sbin/theirs <<'S'
set -e
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=2
nft -f - <<E
table inet mine {
	set bad { type ipv4_addr; flags interval; elements = { 203.0.113.128/25 } }
	chain input { type filter hook input priority 5; policy accept; ip saddr @bad drop; tcp dport 9999 drop; }
	chain forward { type filter hook forward priority 5; policy accept; ip daddr @bad reject; }
}
E
iptables -A INPUT -p tcp --dport 9998 -j DROP
iptables -t nat -A PREROUTING -p tcp --dport 9997 -j REDIRECT --to-ports 9996
S
cat >/etc/systemd/system/provision-foo.service <<E
[Unit]
Wants=docker.service
After=docker.service
[Service]
ExecStartPre=/bin/sh /usr/local/sbin/theirs
ExecStart=/bin/sleep 100001
[Install]
WantedBy=multi-user.target
E
systemctl daemon-reload
systemctl enable --now --quiet provision-foo
