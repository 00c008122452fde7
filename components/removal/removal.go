// Package removal is what may be ours on a machine: the list by which
// "agent remove" takes everything away, and its report.
//
// It is pure data. Inventory is what we ever create, whether or not a journal
// survived; the journal (components/journal) says in addition what was there
// before us. Looking, stopping and deleting are components/agent/remove's.
package removal

// List is what to take away, each kind in the order given.
type List struct {
	// Units of systemd, by their exact names. They are stopped, disabled, and
	// their files below /etc/systemd/system deleted.
	Units []string `json:"units"`

	// Own is what nobody but us has, and Shared what another Kubernetes on the
	// machine would have under the same name. Shared things are taken only where
	// one of the Evidence files says that ours was here.
	// The overlay's links and routes carry its mark and need no list.
	Own      Things   `json:"own"`
	Shared   Things   `json:"shared"`
	Evidence []string `json:"evidence"`

	// Journal is the folder of the journal, undone after everything else.
	Journal string `json:"journal"`
}

// Things are traces of one owner.
type Things struct {
	Cgroups   []string  `json:"cgroups,omitempty"`   // names at the root of each hierarchy
	Mounts    []string  `json:"mounts,omitempty"`    // folders: what is mounted below them is unmounted
	Tables    []Table   `json:"tables,omitempty"`    // of nftables
	Addresses []Address `json:"addresses,omitempty"` // on links that stay
	Files     []File    `json:"files,omitempty"`
	// Networks of CNI: what its cache has of their containers is deleted.
	Networks []string `json:"networks,omitempty"`
	Empty    []string `json:"empty,omitempty"` // folders deleted only where they are empty
	// Dirs are deleted with all below them. One that is a mount point is emptied
	// and stays; a mount further down is left as it is.
	Dirs []string `json:"dirs,omitempty"`
}

// Table is one table of nftables.
type Table struct {
	Family string `json:"family"` // ip, ip6, inet, bridge, arp or netdev
	Name   string `json:"name"`
	// Where the folder Unless holds anything the table may be another's as well:
	// rules for containers of ours go, and the table where it has no others.
	Unless string `json:"unless,omitempty"`
}

// Address is one address of a link.
type Address struct {
	Link   string `json:"link"`
	Prefix string `json:"prefix"` // 192.0.0.11/32
}

// File is one file outside our folders.
type File struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256,omitempty"` // deleted only where it still is this; "": in any case
}

// Report is what happened.
type Report struct {
	Removed []string `json:"removed"` // "link wg0", "folder /opt/provision", ...
	Kept    []Kept   `json:"kept"`    // on purpose
	Residue []Kept   `json:"residue"` // what should be gone and is not
}

// Kept is one thing that is still there.
type Kept struct {
	What string `json:"what"`
	Why  string `json:"why"`
}
