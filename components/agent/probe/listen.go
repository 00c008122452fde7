package probe

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"provision/components/agent/durable"
)

// maxTable bounds one file of sockets: some hundred thousand of them.
const maxTable = 64 << 20

// The kernel's numbers for the states that wait for somebody: TCP's LISTEN, and
// a UDP socket without a peer.
var waiting = map[string]string{"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}

// listeners reads the sockets of this network namespace, with the names of
// their processes, from a proc file system.
func listeners(proc string) ([]Listener, error) {
	owners := processes(proc)
	var found []Listener
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		text, err := durable.Read(filepath.Join(proc, "net", table), maxTable)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no IPv6
		}
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			field := strings.Fields(line)
			if len(field) < 10 || field[3] != waiting[table] {
				continue
			}
			address, err := parseAddress(field[1])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", table, err)
			}
			found = append(found, Listener{strings.TrimSuffix(table, "6"), address.String(), owners[field[9]]})
		}
	}
	slices.SortFunc(found, func(a, b Listener) int {
		return strings.Compare(a.Proto+a.Addr+a.Process, b.Proto+b.Addr+b.Process)
	})
	return slices.Compact(found), nil
}

// parseAddress reads "0100007F:1F90": words in the machine's byte order, then
// the port.
func parseAddress(text string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	if err != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, fmt.Errorf("%.60q is no address", text)
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%.60q is no port", text)
	}
	address, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(address.Unmap(), uint16(number)), nil
}

// processes maps the inodes of sockets to the names of who holds them. What
// cannot be read (a process that just ended) is left out.
func processes(proc string) map[string]string {
	owners := map[string]string{}
	dirs, _ := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	for _, dir := range dirs {
		descriptors, err := os.ReadDir(filepath.Join(dir, "fd"))
		if err != nil {
			continue
		}
		name, err := os.ReadFile(filepath.Join(dir, "comm"))
		if err != nil {
			continue
		}
		for _, fd := range descriptors {
			target, err := os.Readlink(filepath.Join(dir, "fd", fd.Name()))
			if err != nil {
				continue
			}
			if inode, ok := strings.CutPrefix(target, "socket:["); ok {
				owners[strings.TrimSuffix(inode, "]")] = string(bytes.TrimSpace(name))
			}
		}
	}
	return owners
}
