package testenv

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func bastionLabIn(dir string) *Lab {
	l := testLabIn(dir)
	l.Bastion = true
	l.Machines = append([]Machine{{Name: bastionName, Role: bastionName, Address: l.bastion()}}, l.Machines...)
	return l
}

// The file says how machines are reached, and no bastion is a machine of the cluster.
func TestTheFileNamesTheBastion(t *testing.T) {
	l := bastionLabIn(t.TempDir())
	for i := range l.Machines {
		l.Machines[i].HostKey = "key-of-" + l.Machines[i].Name
	}
	if err := l.writeCluster(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(l.Dir, "cluster.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Join(strings.Fields(string(text)), " ")
	if want := `bastion { host = "192.168.60.2" host_key = "key-of-bastion" } } }`; !strings.Contains(fields, want) {
		t.Errorf("no %s in\n%s", want, text)
	}
	if strings.Contains(fields, `machine "bastion"`) || !strings.Contains(fields, `machine "w2"`) {
		t.Errorf("the machines are not the cluster's:\n%s", text)
	}
}

func TestMachinesAreReachedThroughTheBastion(t *testing.T) {
	l := bastionLabIn("/lab")
	proxied := func(name string) string {
		m, err := l.Machine(name)
		if err != nil {
			t.Fatal(err)
		}
		argv := l.sshArgv(m)
		at := slices.IndexFunc(argv, func(word string) bool { return strings.HasPrefix(word, "ProxyCommand=") })
		if at < 0 {
			return ""
		}
		return argv[at]
	}
	if got := proxied("w1"); !strings.HasSuffix(got, "'-W' '192.168.60.21:22' '192.168.60.2'") || !strings.Contains(got, "StrictHostKeyChecking=yes") {
		t.Errorf("to w1: %q", got)
	}
	if got := proxied(bastionName); got != "" {
		t.Errorf("to the bastion: %q", got)
	}
	l.Bastion = false
	if got := proxied("w1"); got != "" {
		t.Errorf("without a bastion: %q", got)
	}
}

// Each flavor has an image of its own, and the bare one keeps its name.
func TestFlavors(t *testing.T) {
	if imagePath("/cache", "") == imagePath("/cache", "docker") {
		t.Error("two flavors share an image")
	}
	if err := (Options{Dir: "d", Masters: 1, Flavor: "podman"}).Check(); err == nil || !strings.Contains(err.Error(), "docker") {
		t.Errorf("an unknown flavor: %v", err)
	}
}
