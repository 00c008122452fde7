//go:build kernel

package kerneltest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"provision/overlay"
	"provision/templates"
	"provision/testenv"
)

// Where things are on a machine: the product's places, and the test's own.
const (
	program   = "/opt/provision/agent-000000000000/agent"
	helper    = "/root/kerneltest"
	nodesFile = "/etc/provision/nodes.json"
)

// machine is one emulated machine and its only pod.
type machine struct {
	t          *testing.T
	lab        *testenv.Lab
	name       string
	address    netip.Addr
	subnet     string // 10.244.1.0/24
	pod        string // the pod's address
	config     overlay.Config
	before     string // its footprint, when nothing of ours was on it
	connection *ssh.Client
}

// connect logs in, anew after each boot. The lab has seen the machine answer.
func (m *machine) connect() {
	m.t.Helper()
	of, err := m.lab.Machine(m.name)
	if err != nil {
		m.t.Fatal(err)
	}
	hostKey, _, _, _, err := ssh.ParseAuthorizedKey([]byte(of.HostKey))
	if err != nil {
		m.t.Fatal(err)
	}
	key, err := os.ReadFile(m.lab.Key())
	if err != nil {
		m.t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		m.t.Fatal(err)
	}
	address := netip.AddrPortFrom(of.Address, 22).String()
	conn, err := net.DialTimeout("tcp", address, 20*time.Second)
	if err != nil {
		m.t.Fatalf("%s: %v", m.name, err)
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	c, channels, requests, err := ssh.NewClientConn(conn, address, &ssh.ClientConfig{
		User: m.lab.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: ssh.FixedHostKey(hostKey), HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	})
	if err != nil {
		m.t.Fatalf("%s: %v", m.name, err)
	}
	conn.SetDeadline(time.Time{})
	if m.connection == nil {
		m.t.Cleanup(func() { m.connection.Close() }) // the last one, after sayWhy
	} else {
		m.connection.Close()
	}
	m.connection = ssh.NewClient(c, channels, requests)
}

// try runs a shell line on the machine, three minutes at most.
func (m *machine) try(line string) (string, error) { return m.feed(line, nil) }

func (m *machine) feed(line string, stdin io.Reader) (string, error) {
	session, err := m.connection.NewSession()
	if err != nil {
		return "", fmt.Errorf("%s: %w", m.name, err)
	}
	defer session.Close()
	limit := time.AfterFunc(3*time.Minute, func() { session.Close() })
	defer limit.Stop()
	session.Stdin = stdin
	out, err := session.CombinedOutput(line)
	if err != nil {
		err = fmt.Errorf("%s: %s: %w: %s", m.name, line, err, out)
	}
	return strings.TrimSpace(string(out)), err
}

func (m *machine) run(line string) string {
	m.t.Helper()
	out, err := m.try(line)
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

// put writes a file, compressed on the way: deciphering is what an emulated
// processor is slowest at.
func (m *machine) put(name, mode string, data []byte) error {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, err = m.feed(fmt.Sprintf("umask 077 && mkdir -p $(dirname %[1]s) && gunzip >%[1]s.new && chmod %[2]s %[1]s.new && mv %[1]s.new %[1]s", name, mode), &packed)
	return err
}

// configure writes the agent's configuration.
func (m *machine) configure() error {
	config, err := json.Marshal(m.config)
	if err != nil {
		return err
	}
	return m.put("/etc/provision/overlay.json", "600", config)
}

// install brings the agent and what it needs, and starts nothing.
func (m *machine) install(agent, self []byte) error {
	if err := m.configure(); err != nil {
		return err
	}
	unit := templates.OverlayService(templates.Overlay{Process: templates.Process{Binary: program, Sum: "0", LowerOOM: true}})
	for _, file := range []struct {
		name, mode string
		data       []byte
	}{
		{program, "755", agent},
		{helper, "755", self},
		{"/etc/modules-load.d/provision.conf", "644", []byte("br_netfilter\n")},
		{"/etc/systemd/system/provision-overlay.service", "644", unit},
		{"/etc/systemd/system/provision.slice", "644", templates.Slice()},
		{"/etc/systemd/system/provision.target", "644", templates.Target()},
	} {
		if err := m.put(file.name, file.mode, file.data); err != nil {
			return err
		}
	}
	_, err := m.try("modprobe br_netfilter")
	return err
}

// plug makes the pod, as the CNI plugins would, and starts its server.
func (m *machine) plug() {
	m.t.Helper()
	m.run(fmt.Sprintf(`set -e
		ip netns add pod
		ip link add pod0 mtu %[1]d type veth peer name eth0 mtu %[1]d netns pod
		ip link set pod0 master bridge0 up
		ip -n pod link set lo up
		ip -n pod addr add %[2]s/24 dev eth0
		ip -n pod link set eth0 up
		ip -n pod route add default via %[3]s
		systemd-run --quiet --collect --unit=lab-pod ip netns exec pod %[4]s guest serve %[2]s:8080`,
		m.status().MTU, m.pod, strings.TrimSuffix(m.subnet, "0/24")+"1", helper))
	eventually(m.t, m.name+"'s pod serves", func() error {
		_, err := m.inPod("send", m.pod+":8080")
		return err
	})
}

// inPod runs a command of guest in the pod.
func (m *machine) inPod(args ...string) (string, error) {
	return m.try("ip netns exec pod " + helper + " guest " + strings.Join(args, " "))
}

// ping sends whole packets of a size that nobody may cut, and wants an answer
// within some seconds.
func (m *machine) ping(to string, size, seconds int) error {
	_, err := m.try(fmt.Sprintf("ip netns exec pod ping -q -c 2 -i 0.2 -W %d -M do -s %d %s", seconds, size-28, to))
	return err
}

func (m *machine) status() overlay.Status {
	var s overlay.Status
	if text, err := m.try("cat /run/provision/overlay/status.json"); err == nil {
		json.Unmarshal([]byte(text), &s) // none yet is an empty one
	}
	return s
}

// peer is what the machine knows of the other.
func (m *machine) peer() overlay.PeerStatus {
	if peers := m.status().Peers; len(peers) == 1 {
		return peers[0]
	}
	return overlay.PeerStatus{}
}

// reboot takes the machine's power away and switches it on again.
func (m *machine) reboot(ahead time.Duration) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 10*time.Minute)
	defer cancel()
	if err := m.lab.Kill(m.name); err != nil {
		m.t.Fatal(err)
	}
	if err := m.lab.StartAt(ctx, m.name, ahead); err != nil {
		m.t.Fatal(err)
	}
	m.connect()
}

// introduce tells the machines of each other, as the API would.
func introduce(t *testing.T, machines []*machine) {
	t.Helper()
	var list []overlay.Node
	for i, m := range machines {
		n := overlay.Node{UID: "uid-" + m.name, Name: m.name, Created: time.Unix(int64(i), 0), PodCIDRs: []string{m.subnet}}
		if text, err := m.try("cat /run/provision/overlay/announcement.json"); err == nil {
			n.Announcement = text
		}
		list = append(list, n)
	}
	data, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range machines {
		if err := m.put(nodesFile, "600", data); err != nil {
			t.Fatal(err)
		}
	}
}

// limit is for what takes seconds on a host that does nothing else: many do.
const limit = 3 * time.Minute

// eventually waits until there is no error, and says how long that took.
func eventually(t *testing.T, what string, try func() error) time.Duration {
	t.Helper()
	begin := time.Now()
	for {
		err := try()
		if err == nil {
			break
		}
		if time.Since(begin) > limit {
			t.Fatalf("%s: not within %v: %v", what, limit, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	took := time.Since(begin)
	t.Logf("%s: after %.1f s", what, took.Seconds())
	return took
}
