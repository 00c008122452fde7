package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"provision/overlay"
)

// Where the kernel has each link's parameters of IPv6, below procSys.
const links6 = "net/ipv6/conf"

// unique spares a link of ours the second in which its link-local address is not
// yet used for anything, finding out whether somebody else has it: nobody does.
// A link without IPv6 has no such parameter.
func unique(name string) {
	writeSysctl(path.Join(links6, name, "accept_dad"), "0")
}

// speakIPv6 lets one of our links have addresses of IPv6, which a machine's owner
// may have switched off for new links, and listen to no pod that says it were a
// router. Both go with the link.
func speakIPv6(name string) error {
	var errs []error
	for _, s := range []overlay.Sysctl{{Name: "disable_ipv6", Value: "0"}, {Name: "accept_ra", Value: "0"}} {
		file := path.Join(links6, name, s.Name)
		if old, err := readSysctl(file); err == nil && old != s.Value {
			errs = append(errs, writeSysctl(file, s.Value))
		} else if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: its kernel has no IPv6, which the cluster's pods have: start it without ipv6.disable=1", name)
		} else if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// KeepRouters has links go on listening to their routers, before the machine
// begins to forward IPv6: from then on the kernel takes an accept_ra of 1 for 0,
// and a machine that has its default route from a router would lose it. One that
// forwards already was set up by somebody who knew. before is EnsureSysctls'.
func KeepRouters(before func(name, value string) error) error {
	if now, err := readSysctl(links6 + "/all/forwarding"); err != nil || now != "0" {
		return nil
	}
	entries, err := os.ReadDir(filepath.Join(procSys, links6))
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		// New links are nobody's yet, and a container's should not have the say.
		if slices.Contains([]string{"all", "default", "lo", overlay.Bridge, overlay.Tunnel}, entry.Name()) {
			continue
		}
		s := acceptRouters(entry.Name())
		if now, err := readSysctl(s.Name); err != nil || now != "1" {
			continue // the link went away, or has no router
		}
		errs = append(errs, EnsureSysctls([]overlay.Sysctl{s}, before))
	}
	return errors.Join(errs...)
}

// KeptRouters are the parameters that KeepRouters wrote, of those in before.
func KeptRouters(before map[string]string) []overlay.Sysctl {
	var list []overlay.Sysctl
	for name := range before {
		if s := acceptRouters(path.Base(path.Dir(name))); s.Name == name {
			list = append(list, s)
		}
	}
	return list
}

// acceptRouters has a link listen to routers on a machine that is one itself.
func acceptRouters(link string) overlay.Sysctl {
	return overlay.Sysctl{Name: path.Join(links6, link, "accept_ra"), Value: "2"}
}
