#!/bin/sh
# Runs once, when the image is built, with the image's root as $1. What differs
# from machine to machine is written later, by the lab.
set -eu
root=$1

# All of Perl comes with usrmerge, whose place usr-is-merged has taken.
chroot "$root" sh -ec '
	dpkg-query -W -f "\${Package}\n" | grep -xE "usrmerge|perl|perl-modules.*|lib.*perl.*" | xargs -r dpkg --purge' >/dev/null

# What a test machine never needs, and what would only make its boot slower.
for unit in \
	getty@.service console-getty.service container-getty@.service serial-getty@.service getty.target \
	apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
	systemd-tmpfiles-clean.timer systemd-networkd.service systemd-resolved.service \
	systemd-timesyncd.service systemd-update-utmp.service systemd-update-utmp-runlevel.service \
	systemd-firstboot.service systemd-pcrphase.service systemd-pcrphase-sysinit.service systemd-hwdb-update.service \
	systemd-update-done.service systemd-journal-catalog-update.service ldconfig.service \
	systemd-udevd.service systemd-udev-trigger.service rc-local.service; do
	ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

# What the machine's first process runs before it becomes systemd.
cat >"$root/usr/local/sbin/lab-init" <<'SCRIPT'
#!/bin/sh
# systemd-nspawn gives a container less than a machine has. This gives it back.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
# Its /sys is the host's, network devices and all, and read-only; so are control groups.
mkdir -p /run/lab-cgroup
mount --rbind /sys/fs/cgroup /run/lab-cgroup
mount --make-rprivate /run/lab-cgroup
umount -lR /sys
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount --rbind /run/lab-cgroup /sys/fs/cgroup
umount -lR /run/lab-cgroup
rmdir /run/lab-cgroup
for dir in /proc/sys /sys/fs/cgroup /sys/fs/cgroup/*; do
	mountpoint -q "$dir" && mount -o remount,bind,rw "$dir"
done
mount --make-rshared /
[ -e /dev/kmsg ] || mknod -m 0644 /dev/kmsg c 1 11
# cadvisor and the kubelet ask for the block device below the root.
if [ -r /etc/lab/disk ]; then
	read -r name major minor </etc/lab/disk
	[ -e "$name" ] || { mkdir -p "${name%/*}" && mknod -m 0600 "$name" b "$major" "$minor"; }
fi
exec /lib/systemd/systemd
SCRIPT
chmod 0755 "$root/usr/local/sbin/lab-init"

# The kernel's log is the host's, and every machine would keep a copy of it.
mkdir -p "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nReadKMsg=no\nStorage=persistent\nSystemMaxUse=64M\nRateLimitIntervalSec=0\n' \
	>"$root/etc/systemd/journald.conf.d/lab.conf"

# No PAM: it costs every login some milliseconds, and nobody here has a password.
cat >"$root/etc/ssh/sshd_config" <<'CONF'
Include /etc/ssh/sshd_config.d/*.conf
HostKey /etc/ssh/ssh_host_ed25519_key
UseDNS no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
X11Forwarding no
MaxSessions 64
MaxStartups 64:30:128
AcceptEnv LANG LC_*
Subsystem sftp /usr/lib/openssh/sftp-server
CONF

# Born on each machine, never copied.
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/machine-id" "$root/var/lib/dbus/machine-id" "$root/etc/hostname" "$root/etc/resolv.conf"
ln -sf /etc/machine-id "$root/var/lib/dbus/machine-id"
# Where the image came from is the host's business.
rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/* "$root"/etc/apt/apt.conf.d/99mmdebstrap \
	"$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/log/*.log "$root"/var/log/apt "$root"/usr/share/locale/*
