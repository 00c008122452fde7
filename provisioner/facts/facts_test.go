package facts

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"provision/components"
)

const answer = `now 1700000000.250000000
hostname w1
os-id debian
arch x86_64
kernel 6.1.0-30-amd64
systemd 252
cgroup 2
memory 2048
root-free 1024
noexec yes
modules-known yes
address eth0 192.0.2.7/24
address tun0 10.0.0.1
sysctl net.ipv4.ip_forward 0
module br_netfilter
bundle 1.36.3-0123456789ab
bundle-sum ` + sumA + `
file-sum ` + sumA + ` /etc/provision/kubelet.yaml
file-mode 644 /etc/provision/kubelet.yaml
unit provision-kubelet.service active enabled abc abc 1.36.3-0123456789ab
unit provision-proxy.service failed disabled abc def -
unit provision-etcd.service inactive enabled - def 1.36.3-0123456789ab
listen tcp 0100007F:1F90 77 my server
listen tcp6 00000000000000000000000001000000:0016 78
generation 7
node { "cluster": "site",  "name": "w1",  "address": "192.0.2.7", "network": { "services": "10.96.0.0/16" } } 
trace /opt/provision
preshared yes
end
`

const sumA = "6ddf9e4f40a00c9c803fc850c98175fc269762f22bc2d0e4112b65ec1efba16a"

func TestAnAnswerIsRead(t *testing.T) {
	f, now, err := parse([]byte(answer))
	if err != nil {
		t.Fatal(err)
	}
	if now.UnixMilli() != 1700000000250 {
		t.Errorf("now is %v", now)
	}
	if f.Arch != "amd64" || f.Memory != 2048<<10 || f.Systemd != 252 || f.Generation != 7 || f.Cluster != "site" || f.Network["services"] != "10.96.0.0/16" || f.Address != netip.MustParseAddr("192.0.2.7") || f.RootFree != 1<<20 || len(f.Traces) != 1 || !f.NoExec || !f.ModulesKnown || !f.Preshared {
		t.Errorf("got %+v", f)
	}
	if len(f.Addresses) != 1 || f.Addresses[0] != netip.MustParsePrefix("192.0.2.7/24") {
		t.Errorf("addresses: %v", f.Addresses)
	}
	if got := f.Files["/etc/provision/kubelet.yaml"]; got != (components.FileFact{SHA256: sumA, Mode: 0o644}) {
		t.Errorf("file: %+v", got)
	}
	for unit, want := range map[string]components.UnitFact{
		"provision-kubelet.service": {Active: "active", Enabled: true, Bundle: "1.36.3-0123456789ab"},
		"provision-proxy.service":   {Active: "failed", Stale: true},
		"provision-etcd.service":    {Active: "inactive", Enabled: true, Bundle: "1.36.3-0123456789ab"},
	} {
		if got := f.Units[unit]; got != want {
			t.Errorf("%s: got %+v, want %+v", unit, got, want)
		}
	}
	for i, want := range []string{"127.0.0.1:8080", "[::1]:22"} {
		if got := f.Listening[i].Addr.String(); got != want {
			t.Errorf("listener %d: got %s, want %s", i, got, want)
		}
	}
	if a, b := f.Listening[0].Process, f.Listening[1].Process; a != "my server" || b != "" {
		t.Errorf("processes: %q, %q", a, b)
	}
}

func TestAHostileAnswerIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"cut short":     "hostname w1\n",
		"unknown word":  "rm -rf\nend\n",
		"bad number":    "memory lots\nend\n",
		"relative path": "file-sum " + sumA + " etc/passwd\nend\n",
		"bad listener":  "listen tcp 00:00 1\nend\n",
		"too much":      strings.Repeat("module x\n", maxRecords+1) + "end\n",
	} {
		if _, _, err := parse([]byte(text)); err == nil {
			t.Errorf("%s: read without an error", name)
		}
	}
}

// here runs the script on this very machine, which it must not change.
type here struct{ components.Machine }

func (here) Run(ctx context.Context, argv []string, stdin io.Reader) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = stdin, &stderr
	return cmd.Output()
}

func TestTheScriptAndTheParserAgree(t *testing.T) {
	if _, err := exec.LookPath("sha256sum"); err != nil {
		t.Skip("no Linux userland: the script is for the machines, which have one")
	}
	f, err := Gather(t.Context(), here{}, Questions{
		Sysctls: []string{"kernel.ostype", "no.such"}, Modules: []string{"no_such_module"}, Files: []string{"/etc/hosts", "/no/such"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if f.Sysctls["kernel.ostype"] != "Linux" || f.Modules["no_such_module"] || f.CPUs == 0 || f.DiskFree == 0 {
		t.Errorf("got %+v", f)
	}
	if f.Files["/etc/hosts"].SHA256 == "" || f.Files["/etc/hosts"].Mode == 0 {
		t.Errorf("/etc/hosts: %+v", f.Files["/etc/hosts"])
	}
	if skew := f.ClockSkew.Abs().Seconds(); skew > 5 {
		t.Errorf("this machine's clock differs from itself by %v", f.ClockSkew)
	}
}

func TestWhoListens(t *testing.T) {
	if _, err := exec.LookPath("ss"); err != nil || os.Getuid() != 0 {
		t.Skip("no ss, or not root: nobody can say whose a port is")
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	f, err := Gather(t.Context(), here{}, Questions{})
	if err != nil {
		t.Fatal(err)
	}
	comm, _ := os.ReadFile("/proc/self/comm")
	want := components.Listener{Proto: "tcp", Addr: netip.MustParseAddrPort(listener.Addr().String()), Process: strings.TrimSpace(string(comm))}
	if !slices.Contains(f.Listening, want) {
		t.Errorf("no %+v in %+v", want, f.Listening)
	}
}

func TestAnOddFileNameHidesNoOther(t *testing.T) {
	if _, err := exec.LookPath("sha256sum"); err != nil {
		t.Skip("no Linux userland: the script is for the machines, which have one")
	}
	dir := t.TempDir()
	odd, plain := dir+"/it's", dir+"/plain"
	for _, name := range []string{odd, plain} {
		if err := os.WriteFile(name, nil, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Gather(t.Context(), here{}, Questions{Files: []string{odd, plain}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{odd, plain} {
		if got := f.Files[name]; got.SHA256 == "" || got.Mode != 0o640 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// The journal holds files as they were before us, and grows with each run: what
// undoes it reads it where it is, and a look only says that something is there.
func TestALookLeavesTheJournalWhereItIs(t *testing.T) {
	if strings.Contains(script, components.Journal) {
		t.Errorf("look.sh reads %s", components.Journal)
	}
	if !strings.HasPrefix(components.Journal, components.State+"/") {
		t.Errorf("the journal %s leaves no trace in %s", components.Journal, components.State)
	}
}
