// Package overlay is the model of the pod network: what a machine is told
// (Config), what the machines say of themselves (Node, Announcement), whom it
// therefore trusts (Mesh), and what its kernel should hold in the end (Desired).
//
// Everything here is a value or a pure function, so that the decisions which
// matter for safety - whose packets are accepted, where pod traffic may go -
// can be tested without a kernel. Reading and writing the kernel is left to
// overlay/host (links, addresses, routes), overlay/device (WireGuard) and
// overlay/rules (nftables); overlay/agent binds them together.
package overlay
