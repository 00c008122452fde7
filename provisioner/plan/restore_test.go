package plan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"provision/components"
	"provision/components/componentstest"
	"provision/components/restore"
)

// backedUp is a site with a backup at hand, and the backup itself.
type backedUp struct {
	*componentstest.Site
	authorities []byte
}

func (b backedUp) Backup() restore.Backup                        { return b }
func (b backedUp) Authorities() []byte                           { return b.authorities }
func (b backedUp) PresharedKey() []byte                          { return nil }
func (b backedUp) Snapshot(_ context.Context, w io.Writer) error { _, err := w.Write(nil); return err }

// take makes a backup of a cluster.
func take(t *testing.T, c components.Cluster, s *componentstest.Site) (Backup, []byte) {
	t.Helper()
	out, err := s.Machines["m1"].Run(t.Context(), []string{c.Agent(), "certificates", "export-authorities"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var files map[string]string
	if err := json.Unmarshal(out, &files); err != nil {
		t.Fatal(err)
	}
	b := Backup{ID: "B1", Cluster: c.Name, Kubernetes: c.Version, Network: c.Network, Sums: map[string]string{}}
	for name, text := range files {
		b.Sums[name] = components.Sum([]byte(text))
	}
	return b, out
}

// restoreOnce goes as `provision restore` does, phase by phase.
func restoreOnce(t *testing.T, c components.Cluster, s backedUp, b Backup) error {
	t.Helper()
	announced := map[string]bool{}
	for machine, action := range Restore(c, look(s.Site), b, time.Now()).all() {
		announced[fmt.Sprintf("%s %s %T", machine, action.Component(), action)] = true
	}
	for _, phase := range []string{"agent", "restore", "machines", "cluster", "conclude"} {
		for _, planned := range Restore(c, look(s.Site), b, time.Now()).Phases {
			if planned.Name != phase {
				continue
			}
			for machine, action := range (Plan{Phases: []Phase{planned}}).all() {
				if !announced[fmt.Sprintf("%s %s %T", machine, action.Component(), action)] {
					t.Errorf("%s: %s: was not announced", machine, action)
				}
				if err := action.Apply(t.Context(), s.Machines[machine], s); err != nil {
					return fmt.Errorf("%s: %s: %w", machine, action, err)
				}
			}
		}
	}
	return nil
}

// TestRestoreKilledAnywhere: after each effect, `up` refuses and restore goes on to a
// cluster that has the backup's authorities and nobody but the file's machines.
func TestRestoreKilledAnywhere(t *testing.T) {
	c := componentstest.Cluster("m1", "m2", "w1")
	origin := site(c)
	must(t, c, origin)
	b, authorities := take(t, c, origin)
	for after := 0; ; after += 3 {
		s := backedUp{site(c), authorities}
		n := after
		for _, m := range s.Machines {
			m.Fail = func(string) error {
				if n--; n < 0 {
					return errDied
				}
				return nil
			}
		}
		err := restoreOnce(t, c, s, b)
		for _, m := range s.Machines {
			m.Fail = nil
		}
		if err != nil && !errors.Is(err, errDied) {
			t.Fatal(err)
		}
		if _, marked := s.Machines["m1"].File(restore.MarkFile); marked {
			if problems := Preflight(c, look(s.Site)); len(problems) == 0 || !strings.Contains(problems[0].Text, "a restore that is not finished") {
				t.Fatalf("after %d effects, up: %v", after, problems)
			}
		}
		if err != nil {
			if problems := CheckRestore(c, look(s.Site), b); problems != nil {
				t.Fatalf("after %d effects: %v", after, problems)
			}
			if err := restoreOnce(t, c, s, b); err != nil {
				t.Fatalf("after %d effects: %v", after, err)
			}
		}
		must(t, c, s.Site)
		if name := "cluster-ca.crt"; look(s.Site).Machines["m2"].Files[components.PKI+"/"+name].SHA256 != b.Sums[name] {
			t.Fatalf("after %d effects m2's authority is another", after)
		}
		if err == nil {
			return
		}
	}
}

func TestRestoreIsRefused(t *testing.T) {
	c := componentstest.Cluster("m1", "w1")
	origin := site(c)
	must(t, c, origin)
	b, _ := take(t, c, origin)
	for name, test := range map[string]struct {
		site   *componentstest.Site
		change func(*Backup)
		want   string
	}{
		"a master that serves": {origin, func(*Backup) {}, "m1: has a cluster's things on it"},
		"another cluster":      {site(c), func(b *Backup) { b.Cluster = "other" }, `the backup is of the cluster "other"`},
		"an older bundle":      {site(c), func(b *Backup) { b.Kubernetes = "1.99.0" }, "the backup is of Kubernetes 1.99.0"},
		"a bundle far newer":   {site(c), func(b *Backup) { b.Kubernetes = "1.2.0" }, "or of the next"},
		"another network":      {site(c), func(b *Backup) { b.Network.Domain = "x" }, "domain x"},
	} {
		changed := b
		test.change(&changed)
		problems := CheckRestore(c, look(test.site), changed)
		if len(problems) != 1 || !strings.Contains(problems[0].Error(), test.want) {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

// TestRestoreBesideTheOldCluster: machines that only the backup knows are not spoken to.
func TestRestoreBesideTheOldCluster(t *testing.T) {
	c := componentstest.Cluster("m1", "w1")
	origin := site(c)
	must(t, c, origin)
	b, _ := take(t, c, origin)
	found := look(origin)
	found.Cluster.Inventory = append(found.Cluster.Inventory, components.Member{Name: "gone", Role: components.Worker, Address: c.Machines[0].Address})
	for machine, action := range Restore(c, found, b, time.Now()).all() {
		if strings.Contains(action.String(), "gone") || machine == "gone" {
			t.Errorf("%s: %s", machine, action)
		}
	}
}
