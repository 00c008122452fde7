// Package scale holds tests only: the commands as a process of their own against
// hundreds of simulated machines, each an SSH server in this process with a
// componentstest machine behind it, and an API server made of memory that is
// reached through them. It measures what grows with the number of machines:
// seconds, connections, memory, and what passes the operator's link.
//
// What one machine does is the other packages' affair, and whether real machines
// do it provisioner/e2e's.
package scale
