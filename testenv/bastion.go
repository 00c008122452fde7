package testenv

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netns"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// bastionName is the machine that a lab with a bastion has besides the others: its
// name, its role, and its port of the switch.
const bastionName = "bastion"

func (l *Lab) bastion() netip.Addr { return host(l.Subnet, 2) }

// jump returns the machine through which another is reached; false: it is reached directly.
func (l *Lab) jump(m Machine) (Machine, bool) {
	if !l.Bastion || m.Role == bastionName {
		return Machine{}, false
	}
	bastion, err := l.Machine(bastionName)
	return bastion, err == nil
}

// screen has the switch carry nothing between the cable to the caller and any port
// but the bastion's, as a firewall before a site does.
func screen(sw netns.NsHandle) error {
	conn, err := nftables.New(nftables.WithNetNSFd(int(sw)))
	if err != nil {
		return fmt.Errorf("switch: %w", err)
	}
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyBridge, Name: "lab"})
	chain := conn.AddChain(&nftables.Chain{
		Name: "screen", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
	})
	const in, out = expr.MetaKeyIIFNAME, expr.MetaKeyOIFNAME
	for _, way := range [][2]expr.MetaKey{{in, out}, {out, in}} {
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
			&expr.Meta{Key: way[0], Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: linkName(cablePort)},
			&expr.Meta{Key: way[1], Register: 1},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: linkName(bastionName)},
			&expr.Verdict{Kind: expr.VerdictDrop},
		}})
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("switch: nftables: %w", err)
	}
	return nil
}

// linkName is a link's name as rules compare it.
func linkName(name string) []byte {
	text := make([]byte, unix.IFNAMSIZ)
	copy(text, name)
	return text
}

// answers says whether a machine's sshd lets the lab's key in.
func (l *Lab) answers(ctx context.Context, m Machine, config *ssh.ClientConfig) error {
	address := netip.AddrPortFrom(m.Address, 22).String()
	dialer := net.Dialer{Timeout: time.Second}
	bastion, behind := l.jump(m)
	if !behind {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return login(conn, address, config, func(*ssh.Client) error { return nil })
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(bastion.HostKey))
	if err != nil {
		return err
	}
	there := *config
	there.HostKeyCallback = ssh.FixedHostKey(key)
	first := netip.AddrPortFrom(bastion.Address, 22).String()
	conn, err := dialer.DialContext(ctx, "tcp", first)
	if err != nil {
		return fmt.Errorf("%s: %w", bastion.Name, err)
	}
	return login(conn, first, &there, func(client *ssh.Client) error {
		conn, err := client.DialContext(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("from %s: %w", bastion.Name, err)
		}
		return login(conn, address, config, func(*ssh.Client) error { return nil })
	})
}

// login opens a connection's SSH, uses it, and closes both.
func login(conn net.Conn, address string, config *ssh.ClientConfig, use func(*ssh.Client) error) error {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second)) // a channel through another connection knows none; that one does
	client, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		return err
	}
	c := ssh.NewClient(client, channels, requests)
	defer c.Close()
	return use(c)
}
