package base_test

import (
	"path"
	"slices"
	"strings"
	"testing"

	"provision/components"
	"provision/components/actions"
	"provision/components/base"
	"provision/components/componentstest"
)

func words(list []components.Action) string {
	var words []string
	for _, action := range list {
		words = append(words, action.String())
	}
	return strings.Join(words, "\n")
}

func TestOnlySysctlsThatDiffer(t *testing.T) {
	c := componentstest.Cluster("m1")
	f := components.Facts{Sysctls: map[string]string{}}
	for _, name := range base.Sysctls(c) {
		f.Sysctls[name] = "1"
	}
	f.Sysctls["kernel.keys.root_maxkeys"], f.Sysctls["kernel.keys.root_maxbytes"], f.Sysctls["kernel.panic"] = "1000000", "25000000", "10"
	got := words(base.Actions(c, c.Machines[0], f))
	if !strings.Contains(got, "set sysctl vm.panic_on_oom=0\n") {
		t.Errorf("only vm.panic_on_oom differs:\n%s", got)
	}
}

// TestSlice: systemd is told of a slice that changes, which no unit is started for.
func TestSlice(t *testing.T) {
	c := componentstest.Cluster("m1")
	settled := components.Facts{Files: map[string]components.FileFact{}}
	for _, action := range base.Actions(c, c.Machines[0], settled) {
		if file, is := action.(actions.File); is {
			settled.Files[file.Path] = components.FileFact{SHA256: components.Sum(file.Content), Mode: uint32(file.Mode)}
		}
	}
	settled.Files[components.Units+"/multi-user.target.wants/provision.target"] = components.FileFact{}
	const told = "start provision.target"
	if got := words(base.Actions(c, c.Machines[0], settled)); strings.Contains(got, told) {
		t.Errorf("nothing changed:\n%s", got)
	}
	settled.Files[components.Units+"/provision.slice"] = components.FileFact{SHA256: "another", Mode: 0o644}
	if got := words(base.Actions(c, c.Machines[0], settled)); !strings.Contains(got, told) {
		t.Errorf("the slice is another:\n%s", got)
	}
}

func TestOnlyModulesThatThereAre(t *testing.T) {
	c := componentstest.Cluster("m1")
	f := components.Facts{Modules: map[string]bool{"br_netfilter": true, "tun": true}}
	list := base.Actions(c, c.Machines[0], f)
	if got := words(list); !strings.Contains(got, "load modules br_netfilter, tun\n") {
		t.Errorf("got\n%s", got)
	}
	// The bridge's sysctls come with the module: it is first.
	kind := func(name string) int {
		return slices.IndexFunc(list, func(a components.Action) bool { return strings.HasPrefix(a.String(), name) })
	}
	if kind("load modules") > kind("set sysctl") {
		t.Error("sysctls are set before the modules are loaded")
	}
}

// TestEveryTouchIsAsked keeps a file, sysctl or module from being changed that
// facts do not look at.
func TestEveryTouchIsAsked(t *testing.T) {
	c := componentstest.Cluster("m1")
	f := components.Facts{Modules: map[string]bool{"tun": true}}
	for _, action := range base.Actions(c, c.Machines[0], f) {
		for _, touch := range action.Touches() {
			asked := map[components.Kind][]string{
				components.KindFile: base.Paths(), components.KindSysctl: base.Sysctls(c), components.KindModule: base.Modules(),
			}[touch.Kind]
			if touch.Kind != components.KindDir && !slices.Contains(asked, touch.Name) {
				t.Errorf("nobody looks at %s %s", touch.Kind, touch.Name)
			}
		}
	}
}

func TestBundle(t *testing.T) {
	c := componentstest.Cluster("m1")
	m := c.Machines[0]
	if got := base.Bundle(c, m, components.Facts{}); len(got) != 2 {
		t.Errorf("a bare machine gets\n%s", words(got))
	}
	f := components.Facts{Agents: map[string]bool{c.Agent(): true}, Bundles: []string{"1.35.4-000000000000"}, BundleSums: map[string]bool{"aa": true}}
	got := base.Bundle(c, m, f)
	if len(got) != 1 || !got[0].(actions.Unpack).Have["aa"] {
		t.Errorf("a machine with another bundle gets\n%s", words(got))
	}
	f.Bundles = append(f.Bundles, c.Bundle.ID)
	if got := base.Bundle(c, m, f); len(got) > 0 {
		t.Errorf("a machine with the bundle gets\n%s", words(got))
	}
}

func TestReloadNetworkOnlyWhatRuns(t *testing.T) {
	m := componentstest.New("m1") // has neither
	if err := (base.ReloadNetwork{}).Apply(t.Context(), m, nil); err != nil {
		t.Error(err)
	}
	for _, effect := range m.Log() {
		if !strings.Contains(effect, "is-active") {
			t.Errorf("did %q", effect)
		}
	}
}

// TestARunThatDiedIsCompleted: what was written and not yet heeded is made good.
func TestARunThatDiedIsCompleted(t *testing.T) {
	c := componentstest.Cluster("m1")
	m := c.Machines[0]
	for _, before := range []string{"have systemd-networkd", "start provision.target"} {
		site := componentstest.NewSite(c)
		machine := site.Machines["m1"]
		for _, action := range base.Actions(c, m, machine.Facts()) {
			if strings.HasPrefix(action.String(), before) {
				break
			}
			if err := action.Apply(t.Context(), machine, site); err != nil {
				t.Fatal(err)
			}
		}
		list := base.Actions(c, m, machine.Facts())
		if got := words(list); !strings.Contains(got, before) {
			t.Errorf("after a run that died before %q the next does\n%s", before, got)
		}
		for _, action := range list {
			if err := action.Apply(t.Context(), machine, site); err != nil {
				t.Fatal(err)
			}
		}
		if left := words(base.Actions(c, m, machine.Facts())); left != "" {
			t.Errorf("then there is still to do:\n%s", left)
		}
	}
}

// TestOurSysctlsWin: systemd reads the files at boot by their base names, and
// kubelet does not start on a machine where another's came last.
func TestOurSysctlsWin(t *testing.T) {
	for _, name := range base.Paths() {
		if strings.HasPrefix(name, "/etc/sysctl.d/") && path.Base(name) <= "99-sysctl.conf" {
			t.Errorf("%s is read before 99-sysctl.conf", name)
		}
	}
}
