#!/bin/sh
# Runs after setup.sh for machines that boot a kernel of their own, with the image's root
# as $1.
set -eu
root=$1

# What finds the root, and nothing that looks for hardware: each module costs boot time
# on a processor made of software.
sed -i -e 's/^MODULES=.*/MODULES=list/' -e 's/^COMPRESS=.*/COMPRESS=gzip/' "$root/etc/initramfs-tools/initramfs.conf"
printf 'virtio_pci\nvirtio_blk\next4\n' >"$root/etc/initramfs-tools/modules"
chroot "$root" update-initramfs -u >/dev/null

# udev is masked here, so that nobody else would load the driver. The lab writes
# /etc/lab/network: address with its prefix length, and gateway where there is one.
cat >"$root/usr/local/sbin/lab-network" <<'SCRIPT'
#!/bin/sh
set -eu
modprobe virtio_net
address= gateway=
. /etc/lab/network
ip link set lo up
ip addr add "$address" dev eth0
ip link set eth0 up
[ -z "$gateway" ] || ip route add default via "$gateway"
SCRIPT
chmod 0755 "$root/usr/local/sbin/lab-network"
cat >"$root/etc/systemd/system/lab-network.service" <<'UNIT'
[Unit]
Description=the address that the lab gave this machine
DefaultDependencies=no
After=systemd-sysctl.service systemd-modules-load.service
Before=network-pre.target network.target ssh.service
Wants=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/lab-network

[Install]
WantedBy=sysinit.target
UNIT
mkdir -p "$root/etc/systemd/system/sysinit.target.wants"
ln -sf ../lab-network.service "$root/etc/systemd/system/sysinit.target.wants/lab-network.service"
