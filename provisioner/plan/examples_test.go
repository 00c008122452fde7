package plan

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"provision/components"
	"provision/components/addons"
	"provision/components/componentstest"
	"provision/provisioner/config"
)

// examples are the wanted clusters of every file in examples/, by its name.
func examples(t *testing.T) map[string]components.Cluster {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("SSH_AUTH_SOCK", "")
	files, _ := filepath.Glob("../../examples/*.hcl")
	more, _ := filepath.Glob("../../examples/*/*.hcl")
	wanted := map[string]components.Cluster{}
	for _, name := range append(files, more...) {
		file, diags := config.Load(name, nil)
		if diags.HasErrors() {
			t.Fatal(diags.Diagnostics)
		}
		like := componentstest.Cluster()
		wanted[strings.TrimPrefix(name, "../../")] = Wanted(file, like.Bundle, like.Version)
	}
	if len(wanted) < 6 {
		t.Fatalf("only %d examples", len(wanted))
	}
	return wanted
}

// site is blank machines as the cluster's file describes them.
func site(c components.Cluster) *componentstest.Site {
	s := componentstest.NewSite(c)
	for _, m := range c.Machines {
		s.Machines[m.Name].Born.Addresses = []netip.Prefix{netip.PrefixFrom(m.Address, 24)}
		s.Machines[m.Name].Born.MachineID = fmt.Sprintf("%032x", m.Address.As16())
		s.Machines[m.Name].Loadable["wireguard"] = c.Overlay.Mode == "kernel"
	}
	return s
}

func look(s *componentstest.Site) Facts {
	found := Facts{Machines: map[string]components.Facts{}, Cluster: s.Cluster.Facts()}
	for name, m := range s.Machines {
		found.Machines[name] = m.Facts()
	}
	return found
}

// Blank machines are taken as they are, and each is told to become what the file says.
func TestExamplesArePlanned(t *testing.T) {
	for name, c := range examples(t) {
		t.Run(name, func(t *testing.T) {
			found := look(site(c))
			for _, problem := range Preflight(c, found) {
				t.Error(problem)
			}
			if strings.HasSuffix(name, "ha.hcl") && c.Endpoint != "192.168.10.10:6443" {
				t.Errorf("the API's endpoint is %q", c.Endpoint)
			}
			p := Make(c, found, time.Now())
			var phases []string
			for _, phase := range p.Phases {
				phases = append(phases, phase.Name)
			}
			if got := strings.Join(phases, " "); got != "agent machines cluster ready" {
				t.Errorf("the plan's phases are %s", got)
			}
			told := map[string]string{}
			for machine, action := range p.all() {
				told[machine] += action.Component() + ": " + action.String() + "\n"
			}
			for _, m := range c.Machines {
				if !strings.Contains(told[m.Name], "kubelet") || !strings.Contains(told[m.Name], "overlay") {
					t.Errorf("%s gets no kubelet or no overlay:\n%s", m.Name, told[m.Name])
				}
				if has := strings.Contains(told[m.Name], "etcd"); has != (m.Role == components.Master) {
					t.Errorf("%s is a %s, with etcd: %v:\n%s", m.Name, m.Role, has, told[m.Name])
				}
			}
		})
	}
}

// Carried out on machines made of memory, an example's plan leaves nothing to do
// but to wait for Nodes: memory runs no kubelet that would make one ready.
func TestExamplesConverge(t *testing.T) {
	for name, c := range examples(t) {
		t.Run(name, func(t *testing.T) {
			s := site(c)
			// As run does it: after each phase the machines are looked at again.
			for _, phase := range []string{"agent", "machines", "cluster"} {
				p := Make(c, look(s), time.Now())
				at := slices.IndexFunc(p.Phases, func(p Phase) bool { return p.Name == phase })
				if at < 0 {
					t.Fatalf("no phase %s: %v", phase, p)
				}
				for machine, action := range (Plan{Phases: p.Phases[at : at+1]}).all() {
					if err := action.Apply(t.Context(), s.Machines[machine], s); err != nil {
						t.Fatalf("%s: %s: %v", machine, action, err)
					}
				}
			}
			for machine, action := range Make(c, look(s), time.Now()).all() {
				if _, wait := action.(addons.WaitReady); !wait {
					t.Errorf("left to do: %s: %s: %s", machine, action.Component(), action)
				}
			}
		})
	}
}
