package testenv

import (
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

func TestFreeSubnet(t *testing.T) {
	for _, test := range []struct{ taken, want string }{
		{"", "192.168.56.0/24"},
		{"10.0.0.0/8 192.168.56.0/24", "192.168.57.0/24"},
		{"192.168.56.7/32 192.168.57.128/25", "192.168.58.0/24"},
		{"192.168.0.0/17", "192.168.128.0/24"},
		{"192.168.0.0/16", ""},
	} {
		var taken []netip.Prefix
		for _, field := range strings.Fields(test.taken) {
			taken = append(taken, netip.MustParsePrefix(field))
		}
		got, err := freeSubnet(taken)
		if (err != nil) != (test.want == "") || err == nil && got.String() != test.want {
			t.Errorf("%q taken: got %s, %v; want %q", test.taken, got, err, test.want)
		}
	}
}

// What a shell makes of the words must be the words.
func TestRemoteKeepsWords(t *testing.T) {
	for _, words := range [][]string{
		{"printf", `%s\n`, "a b", "it's", `"$HOME"`, "", "*", "`id`"},
		{"printf", `%s\n`, "x;y"},
	} {
		want, err := exec.Command(words[0], words[1:]...).Output()
		if err != nil {
			t.Fatal(err)
		}
		got, err := exec.Command("sh", "-c", strings.Join(remote(words), " ")).Output()
		if err != nil || string(got) != string(want) {
			t.Errorf("%q became %q, %v", words, got, err)
		}
	}
	if diff := cmp.Diff([]string{"a; b"}, remote([]string{"a; b"})); diff != "" {
		t.Errorf("a single word is the shell's: %s", diff)
	}
}

func TestParseMount(t *testing.T) {
	line := "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct"
	got, ok := parseMount(line)
	want := mount{device: "0:30", root: "/", point: "/sys/fs/cgroup/cpu,cpuacct", kind: "cgroup", source: "cgroup", options: []string{"rw", "cpu", "cpuacct"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(mount{})); diff != "" || !ok {
		t.Error(ok, diff)
	}
	for _, line := range []string{"", "a - b", "1 2 3 4 5 6 no dash"} {
		if _, ok := parseMount(line); ok {
			t.Errorf("%q passed for a mount", line)
		}
	}
}

func TestSources(t *testing.T) {
	listed := `http://mirror.test/debian/ bookworm main
http://mirror.test/debian/ bookworm-updates main
http://mirror.test/debian/ bookworm contrib
http://mirror.test/debian/ trixie main
https://packages.test/cloud cloud-bookworm main
http://mirror.test/ubuntu/ bookworm main
`
	want := []string{
		"deb [signed-by=/k] http://mirror.test/debian/ bookworm main",
		"deb [signed-by=/k] http://mirror.test/debian/ bookworm-updates main",
	}
	if diff := cmp.Diff(want, sources(listed, "[signed-by=/k] ")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string(nil), sources("http://mirror.test/ubuntu noble main\n", "")); diff != "" {
		t.Error(diff)
	}
}

func TestReachability(t *testing.T) {
	dump := `APT::Architecture "amd64";
Acquire::http::Proxy "http://proxy.test:3128";
Acquire::https::Proxy "";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
Acquire::Retries "3";
DPkg::Post-Invoke:: "rm -f /x";
`
	want := []string{`Acquire::http::Proxy "http://proxy.test:3128";`, `Acquire::Check-Valid-Until "false";`, `Acquire::Retries "3";`}
	if diff := cmp.Diff(want, reachability(dump)); diff != "" {
		t.Error(diff)
	}
}

func TestOutsideKnowsOneName(t *testing.T) {
	addr := netip.MustParseAddr("203.0.113.10")
	for _, test := range []struct {
		name  string
		kind  uint16
		code  int
		found bool
	}{
		{"outside.test.", dns.TypeA, dns.RcodeSuccess, true},
		{"WWW.Outside.Test.", dns.TypeA, dns.RcodeSuccess, true},
		{"outside.test.", dns.TypeAAAA, dns.RcodeSuccess, false},
		{"notoutside.test.", dns.TypeA, dns.RcodeNameError, false},
		{"example.org.", dns.TypeA, dns.RcodeNameError, false},
	} {
		reply := answer(new(dns.Msg).SetQuestion(test.name, test.kind), addr)
		if reply.Rcode != test.code || (len(reply.Answer) == 1) != test.found {
			t.Errorf("%s: %v", test.name, reply)
		}
		both := answer(new(dns.Msg).SetQuestion(test.name, test.kind), addr, netip.MustParseAddr("2001:db8::10"))
		if want := test.code == dns.RcodeSuccess; (len(both.Answer) == 1) != want || want && both.Answer[0].Header().Rrtype != test.kind {
			t.Errorf("of both families: %v", both)
		}
		if test.found && !reply.Answer[0].(*dns.A).A.Equal(net.ParseIP("203.0.113.10")) {
			t.Errorf("%s: %v", test.name, reply.Answer)
		}
	}
}

func TestHelloTellsTheClient(t *testing.T) {
	request := httptest.NewRequest("GET", "/", nil)
	request.RemoteAddr = "192.168.56.21:4711"
	recorder := httptest.NewRecorder()
	hello(recorder, request)
	if got := recorder.Body.String(); got != "outside\n192.168.56.21\n" {
		t.Errorf("%q", got)
	}
}

func TestPruneKeepsWhatIsUsed(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("PROVISION_LAB_CACHE", cache)
	old := time.Now().Add(-8 * 24 * time.Hour)
	for name, age := range map[string]time.Time{"used": time.Now(), "forgotten": old, "killed" + buildingSuffix: time.Now()} {
		dir := filepath.Join(cache, name)
		if err := os.MkdirAll(filepath.Join(dir, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, age, age); err != nil {
			t.Fatal(err)
		}
	}
	if err := pruneImages(); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(cache, "*"))
	if diff := cmp.Diff([]string{filepath.Join(cache, "lock"), filepath.Join(cache, "used")}, left); diff != "" {
		t.Error(diff)
	}
}
