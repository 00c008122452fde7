package view

import (
	"fmt"
	"strconv"
	"time"

	"provision/provisioner/mesh"
)

// Mesh prints every tunnel, one way a line, and what the machines complain of.
func (p *Printer) Mesh(m mesh.Mesh) error {
	modes := map[string]string{}
	for _, x := range m.Machines {
		modes[x.Name] = x.Mode
	}
	var rows [][]string
	for _, t := range m.Tunnels {
		row := []string{t.From, t.To, string(t.State), modes[t.From], "-", "-", "-", "-", "-", "-"}
		if t.State != mesh.Unknown && t.State != mesh.NoPeer {
			if t.HandshakeAge > 0 {
				row[4] = (time.Duration(t.HandshakeAge) * time.Second).String() + " ago"
			} else {
				row[4] = "never"
			}
			if t.RoundTripMS > 0 {
				row[5] = fmt.Sprintf("%.2f ms", t.RoundTripMS)
			}
			row[6] = fmt.Sprintf("%.0f %%", t.Loss*100)
			if t.PathMTU > 0 {
				row[7] = strconv.Itoa(t.PathMTU)
			}
			row[8], row[9] = amount(t.Received), amount(t.Sent)
		}
		rows = append(rows, row)
	}
	if err := p.Table([]string{"FROM", "TO", "STATE", "WIREGUARD", "HANDSHAKE", "ROUND TRIP", "LOSS", "PATH MTU", "RECEIVED", "SENT"}, rows); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range m.Machines {
		for _, problem := range x.Problems {
			if _, err := fmt.Fprintf(p.out, "%s %s: %s\n", p.outStyle.red("!"), clean(x.Name), clean(problem)); err != nil {
				return err
			}
		}
	}
	return nil
}

// amount is an amount as people read it.
func amount(n int64) string {
	switch {
	case n < 1e3:
		return fmt.Sprintf("%d B", n)
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	default:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	}
}
