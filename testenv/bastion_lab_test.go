//go:build lab

package testenv

import (
	"net"
	"testing"
	"time"
)

func TestBastion(t *testing.T) {
	ownStore(t)
	lab := makeLab(t, Options{Masters: 1, Workers: 1, Bastion: true})
	m1, err := lab.Machine("m1")
	if err != nil {
		t.Fatal(err)
	}
	// Up came to its end, so the way through the bastion is open.
	if got := lab.must(t, "m1", "hostname; ping -c1 -W1 w1 >/dev/null && echo sees w1"); got != "m1\nsees w1" {
		t.Errorf("m1 says %q", got)
	}
	dial := func(address string) error {
		return lab.InCaller(func() error {
			conn, err := net.DialTimeout("tcp4", address+":22", time.Second)
			if err == nil {
				conn.Close()
			}
			return err
		})
	}
	if err := dial(m1.Address.String()); err == nil {
		t.Error("m1 is reached past the bastion")
	}
	if err := dial(lab.bastion().String()); err != nil {
		t.Errorf("the bastion: %v", err)
	}
	if err := lab.Kill("m1"); err != nil {
		t.Fatal(err)
	}
	if err := lab.Start(deadline(t), "m1"); err != nil {
		t.Errorf("m1 does not come back: %v", err)
	}
}

// People's machines have engines and firewalls of their own; a flavor has them too.
func TestDockerFlavor(t *testing.T) {
	ownStore(t)
	lab := makeLab(t, Options{Workers: 1, Flavor: "docker"})
	if got := lab.must(t, "w1", "systemctl start docker; systemctl is-active docker; nft list chain ip filter DOCKER-USER >/dev/null && echo rules"); got != "active\nrules" {
		t.Errorf("w1 says %q; its log: %s", got, lab.must(t, "w1", "journalctl -q -u docker -n 20"))
	}
}
