package facts

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"provision/components"
	"provision/components/etcd"
)

func readArch(p *parser, rest string) error {
	names := map[string]string{"x86_64": "amd64", "aarch64": "arm64"}
	p.facts.Arch = rest
	if name, ok := names[rest]; ok {
		p.facts.Arch = name
	}
	return nil
}

// readAddress reads "eth0 192.0.2.2/24".
func readAddress(p *parser, rest string) error {
	_, address, _ := strings.Cut(rest, " ")
	prefix, err := netip.ParsePrefix(address)
	if err != nil {
		return nil // a peer address ("10.0.0.1 peer 10.0.0.2/32"); not one to reach a machine at
	}
	p.facts.Addresses = append(p.facts.Addresses, prefix)
	return nil
}

// readEtcd reads what "node etcd-members list" printed. One that cannot say is
// one that does not serve.
func readEtcd(p *parser, rest string) error {
	if rest == "" {
		return nil
	}
	fact, err := etcd.ParseMembers([]byte(rest))
	fact.Data = p.facts.Etcd.Data
	p.facts.Etcd = fact
	return err
}

// readNode reads the file that says what the machine was set up as. One that somebody
// spoilt says nothing.
func readNode(p *parser, rest string) error {
	var node struct {
		Cluster, Address string
		Network          map[string]string
	}
	if json.Unmarshal([]byte(rest), &node) != nil || !clusterName.MatchString(node.Cluster) {
		return nil
	}
	p.facts.Cluster, p.facts.Network = node.Cluster, node.Network
	p.facts.Address, _ = netip.ParseAddr(node.Address)
	return nil
}

var clusterName = regexp.MustCompile(`^[a-z0-9.-]{1,63}$`)

func readSysctl(p *parser, rest string) error {
	name, value, _ := strings.Cut(rest, " ")
	p.facts.Sysctls[name] = value
	return nil
}

// readFileSum reads "<sha256> <path>".
func readFileSum(p *parser, rest string) error {
	sum, name, ok := strings.Cut(rest, " ")
	if !ok || !strings.HasPrefix(name, "/") {
		return errors.New("not a sum and an absolute path")
	}
	file := p.facts.Files[name]
	file.SHA256 = sum
	p.facts.Files[name] = file
	return nil
}

// readFileMode reads "644 <path>".
func readFileMode(p *parser, rest string) error {
	digits, name, _ := strings.Cut(rest, " ")
	mode, err := strconv.ParseUint(digits, 8, 32)
	if err != nil {
		return err
	}
	file := p.facts.Files[name]
	file.Mode = uint32(mode)
	p.facts.Files[name] = file
	return nil
}

// readUnit reads "<name> <active> <enabled> <sum it runs with> <sum of its file>".
func readUnit(p *parser, rest string) error {
	fields := strings.Fields(rest)
	if len(fields) != 6 {
		return fmt.Errorf("%d fields instead of 6", len(fields))
	}
	p.facts.Units[fields[0]] = components.UnitFact{
		Active:  fields[1],
		Enabled: fields[2] == "enabled",
		Stale:   fields[3] != "-" && fields[3] != fields[4],
		Bundle:  strings.TrimPrefix(fields[5], "-"),
	}
	return nil
}

// readListener reads "tcp6 <hex address>:<hex port> <inode> <process>" as
// /proc/net has it: each 32-bit word of the address in the machine's
// (little-endian) order. The process is left out where it is not known.
func readListener(p *parser, rest string) error {
	fields := strings.SplitN(rest, " ", 4)
	if len(fields) < 3 {
		return fmt.Errorf("%d fields instead of 3 or 4", len(fields))
	}
	process := ""
	if len(fields) == 4 {
		process = shorten(fields[3])
	}
	host, port, _ := strings.Cut(fields[1], ":")
	raw, err := hex.DecodeString(host)
	if err != nil || (len(raw) != 4 && len(raw) != 16) {
		return errors.New("not an address")
	}
	for word := range slices.Chunk(raw, 4) {
		slices.Reverse(word)
	}
	addr, _ := netip.AddrFromSlice(raw)
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return err
	}
	p.facts.Listening = append(p.facts.Listening, components.Listener{
		Proto: strings.TrimSuffix(fields[0], "6"),
		Addr:  netip.AddrPortFrom(addr.Unmap(), uint16(number)),

		Process: process,
	})
	return nil
}

// readOverlayProblem reads a JSON string.
func readOverlayProblem(p *parser, rest string) error {
	const most, longest = 20, 600
	var text string
	if err := json.Unmarshal([]byte(rest), &text); err != nil {
		return err
	}
	if len(p.facts.Overlay) < most && len(text) <= longest {
		p.facts.Overlay = append(p.facts.Overlay, text)
	}
	return nil
}
