// Package componentstest is a machine made of memory, and a site of several.
// It behaves: a unit does not start without its file or before systemd read it,
// a sysctl of a module is not there before the module, a process keeps what it
// read at its start. It turns itself into components.Facts, so that "apply the
// plan, then plan again: nothing" can be tested without a machine.
//
// What real programs make of the files is not its affair: the lab test here
// runs them.
package componentstest
