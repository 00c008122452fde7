// Package testenv makes machines to test on: systemd-nspawn containers that
// boot a whole Debian with systemd and sshd, on a network of their own, with
// cables that can be pulled and power that can fail. Where a kernel or a clock
// matters, they are emulated computers instead (qemu.go).
//
// It knows nothing of what is installed on the machines and imports nothing
// else of this project. What a lab is made of:
//
//   - a switch: a network namespace with a bridge, and one port for each machine;
//   - an "outside" host in another namespace, which plays the internet and has
//     no way out: it holds the machines' default gateway and answers HTTP and DNS
//     at a documentation address;
//   - a cable from the switch to the namespace that Up was called in;
//   - one process tree, control group, namespace and root directory a machine.
//
// No namespace has a name below /run/netns: a name is a mount, mounts differ
// between callers, and a forgotten copy of one would keep a machine's network
// alive after its power failed. The outside host's process keeps the switch open
// instead, and every group of processes is found again by the name of its control
// group, never by a recorded number.
package testenv
