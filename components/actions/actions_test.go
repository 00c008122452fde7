package actions

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision/components"
)

func TestFileKeepsItsContentToItself(t *testing.T) {
	text, err := json.Marshal(File{Of: "kubelet", Path: "/etc/provision/kubelet.yaml", Mode: 0o600, Content: []byte("a: b")})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"component":"kubelet","mode":"0600","path":"/etc/provision/kubelet.yaml",` +
		`"sha256":"` + components.Sum([]byte("a: b")) + `","size":4,"text":"write /etc/provision/kubelet.yaml"}`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyWhatIsNotOursIsJournaled(t *testing.T) {
	for path, want := range map[string]int{
		"/etc/provision/kubelet.yaml":                    0,
		"/var/lib/provision/containerd/provision-images": 0,
		"/etc/systemd/system/provision-kubelet.service":  0,
		"/etc/systemd/system/provisioner.service":        1,
		"/etc/systemd/system/provision.target":           1,
		"/etc/provisional":                               1,
		"/etc/sysctl.d/99-zz-provision.conf":             1,
	} {
		if got := len(File{Path: path}.Touches()); got != want {
			t.Errorf("%s touches %d things, not %d", path, got, want)
		}
	}
	touches := File{Path: "/etc/a/b.conf", Folders: []string{"/etc/a"}}.Touches()
	want := []components.Touch{{Kind: components.KindDir, Name: "/etc/a"}, {Kind: components.KindFile, Name: "/etc/a/b.conf"}}
	if diff := cmp.Diff(want, touches); diff != "" {
		t.Error(diff)
	}
}

func TestSysctlsSayWhatTheySet(t *testing.T) {
	action := Sysctls{Settings: []Setting{{"kernel.panic", "10"}, {"vm.panic_on_oom", "0"}}}
	for _, touch := range action.Touches() {
		if action.Sets(touch) == "" {
			t.Errorf("%s is set to nothing", touch.Name)
		}
	}
	if got := action.String(); got != "set sysctl kernel.panic=10, vm.panic_on_oom=0" {
		t.Error(got)
	}
}

func TestDraft(t *testing.T) {
	content := []byte("x")
	d := NewDraft("kubelet", components.Facts{Files: map[string]components.FileFact{
		"/same":  {SHA256: components.Sum(content), Mode: 0o644},
		"/mode":  {SHA256: components.Sum(content), Mode: 0o600},
		"/other": {SHA256: components.Sum([]byte("y")), Mode: 0o644},
	}})
	for _, path := range []string{"/same", "/mode", "/other", "/new"} {
		d.File(path, 0o644, content)
	}
	if got, want := list(d), []string{"write /mode", "write /other", "write /new"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func list(d *Draft) []string {
	var got []string
	for _, action := range d.Actions() {
		got = append(got, action.String())
	}
	return got
}

// TestUnitFollowsItsConfiguration shows that a change of a file that a process
// reads changes its unit, and nothing else does.
func TestUnitFollowsItsConfiguration(t *testing.T) {
	unit := func(config string) string {
		d := NewDraft("kubelet", components.Facts{})
		d.File("/etc/provision/kubelet.yaml", 0o644, []byte(config))
		d.File("/etc/provision/other.yaml", 0o644, []byte(config+"other"))
		d.Unit("provision-kubelet.service", func(sum string) []byte { return []byte("sum=" + sum) }, "/etc/provision/kubelet.yaml")
		actions := d.Actions()
		return string(actions[len(actions)-1].(File).Content)
	}
	if unit("a") != unit("a") || unit("a") == unit("b") || !strings.HasPrefix(unit("a"), "sum=") || len(unit("a")) != len("sum=")+16 {
		t.Errorf("a: %s, b: %s", unit("a"), unit("b"))
	}
	defer func() {
		if recover() == nil {
			t.Error("a unit may not read what nobody drafted")
		}
	}()
	NewDraft("x", components.Facts{}).Unit("u", func(string) []byte { return nil }, "/nowhere")
}

func TestStart(t *testing.T) {
	const unit = "provision-kubelet.service"
	for _, c := range []struct {
		name    string
		fact    components.UnitFact
		changed bool
		want    []string
	}{
		{"bare", components.UnitFact{}, true, []string{"start kubelet"}},
		{"running", components.UnitFact{Active: "active", Enabled: true}, false, nil},
		{"running, not at boot", components.UnitFact{Active: "active"}, false, []string{"enable kubelet"}},
		{"old", components.UnitFact{Active: "active", Enabled: true, Stale: true}, false, []string{"restart kubelet"}},
		{"changed", components.UnitFact{Active: "active", Enabled: true}, true, []string{"restart kubelet"}},
		{"on its way", components.UnitFact{Active: "activating", Enabled: true}, false, nil},
		{"on its way with an old file", components.UnitFact{Active: "activating", Enabled: true, Stale: true}, false, []string{"restart kubelet"}},
		{"failed", components.UnitFact{Active: "failed", Enabled: true}, false, []string{"start kubelet"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			facts := components.Facts{Units: map[string]components.UnitFact{unit: c.fact}}
			content := func(string) []byte { return []byte("unit") }
			if !c.changed {
				facts.Files = map[string]components.FileFact{UnitPath(unit): {SHA256: components.Sum([]byte("unit")), Mode: 0o644}}
			}
			d := NewDraft("kubelet", facts)
			d.Unit(unit, content)
			d.Start(false, unit)
			got := list(d)
			if c.changed {
				got = got[1:] // the file
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			starts := slices.ContainsFunc(c.want, func(s string) bool { return strings.Contains(s, "start") })
			if d.Starts(unit) != starts {
				t.Errorf("Starts is %v", d.Starts(unit))
			}
		})
	}
}

func TestStop(t *testing.T) {
	for _, c := range []struct {
		fact components.UnitFact
		want []string
	}{
		{components.UnitFact{}, nil},
		{components.UnitFact{Active: "failed"}, nil},
		{components.UnitFact{Active: "active", Enabled: true}, []string{"stop kubelet"}},
		{components.UnitFact{Active: "activating"}, []string{"stop kubelet"}},
		{components.UnitFact{Active: "inactive", Enabled: true}, []string{"stop kubelet"}},
	} {
		d := NewDraft("kubelet", components.Facts{Units: map[string]components.UnitFact{"provision-kubelet.service": c.fact}})
		d.Stop("provision-kubelet.service")
		if got := list(d); !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %q, want %q", c.fact, got, c.want)
		}
	}
}
