package plan

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"provision/components"
	"provision/components/addons"
	"provision/components/componentstest"
	"provision/components/etcd"
	"provision/components/master"
)

var errDied = errors.New("the run died")

// runOnce makes a plan, applies it phase by phase as run does, and returns what it said.
func runOnce(t *testing.T, c components.Cluster, s *componentstest.Site) (string, error) {
	t.Helper()
	var said strings.Builder
	for _, problem := range Preflight(c, look(s)) {
		return "", problem
	}
	for _, phase := range []string{"agent", "machines", "cluster", "finalise", "kubelets", "leaving"} {
		p := Make(c, look(s), time.Now())
		for _, planned := range p.Phases {
			if planned.Name != phase {
				continue
			}
			for machine, action := range (Plan{Phases: []Phase{planned}}).all() {
				fmt.Fprintf(&said, "%s: %s: %s\n", machine, action.Component(), action)
				if err := action.Apply(t.Context(), s.Machines[machine], s); err != nil {
					return said.String(), fmt.Errorf("%s: %s: %w", machine, action, err)
				}
			}
		}
	}
	return said.String(), nil
}

// converged wants nothing to be left to do, and every master to be a voter.
func converged(t *testing.T, c components.Cluster, s *componentstest.Site) {
	t.Helper()
	found := look(s)
	for machine, action := range Make(c, found, time.Now()).all() {
		if _, wait := action.(addons.WaitReady); !wait {
			t.Fatalf("left to do: %s: %s: %s", machine, action.Component(), action)
		}
	}
	view := etcd.Look(c, found.Machines)
	if len(view.Members) != len(c.Masters()) {
		t.Fatalf("etcd has the members %v", view.Members)
	}
	for _, m := range c.Masters() {
		if member, known := view.Member(m); !known || member.Learner || member.Name != m.Name {
			t.Fatalf("%s is %+v in etcd", m.Name, member)
		}
	}
}

func must(t *testing.T, c components.Cluster, s *componentstest.Site) string {
	t.Helper()
	said, err := runOnce(t, c, s)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	converged(t, c, s)
	return said
}

func TestMastersJoinOneAfterTheOther(t *testing.T) {
	c := componentstest.Cluster("m1", "m2", "m3", "w1")
	s := site(c)
	said := must(t, c, s)
	if strings.Count(said, "join as a learner") != 2 || strings.Index(said, "m2: etcd: join") > strings.Index(said, "m3: etcd: join") {
		t.Error(said)
	}
	if api := strings.Index(said, "m3: master: wait until the API"); api < strings.Index(said, "m3: etcd: join") {
		t.Errorf("an API server starts before its etcd is a voter:\n%s", said)
	}
}

// TestFromOneMasterToThree: the one that serves is interrupted last, when the others serve.
func TestFromOneMasterToThree(t *testing.T) {
	c := componentstest.Cluster("m1", "m2", "m3", "w1")
	s := site(c)
	one := c
	one.Machines = []components.MachineSpec{c.Machines[0], c.Machines[3]}
	must(t, one, s)
	said := must(t, c, s)
	restart := strings.Index(said, "m1: units: restart")
	if restart < strings.Index(said, "m3: master: wait until the API") || !strings.Contains(said[restart:], "apiserver") {
		t.Errorf("m1 is interrupted before the others serve:\n%s", said)
	}
	if strings.Contains(said, "restart balancer") {
		t.Errorf("a balancer reads its file again by itself:\n%s", said)
	}
}

// TestABlankMachineTakesADeadMastersPlace: whichever master it is, the one with
// the secrets' birthplace included.
func TestABlankMachineTakesADeadMastersPlace(t *testing.T) {
	for _, dead := range []string{"m1", "m2", "m3"} {
		c := componentstest.Cluster("m1", "m2", "m3", "w1")
		s := site(c)
		must(t, c, s)
		s.Machines[dead].Wipe()
		said := must(t, c, s)
		if !strings.Contains(said, dead+": etcd: remove the member that lost its data, join") || !strings.Contains(said, dead+": pki: copy the authorities") {
			t.Errorf("%s:\n%s", dead, said)
		}
		if authority, _ := s.Machines[dead].File(components.PKI + "/cluster-ca.crt"); !strings.Contains(string(authority), base64.StdEncoding.EncodeToString([]byte("cluster-ca.crt of m1"))) {
			t.Errorf("%s has the authority %q", dead, authority)
		}
	}
}

func TestAllMastersStopped(t *testing.T) {
	c := componentstest.Cluster("m1", "m2", "m3")
	s := site(c)
	must(t, c, s)
	for _, name := range []string{"m1", "m2", "m3"} {
		s.Machines[name].Stop(etcd.Unit)
	}
	p := Make(c, look(s), time.Now())
	if len(p.Phases) == 0 || p.Phases[0].Stages[0].Name != "control plane" || len(p.Phases[0].Stages[0].Jobs) != 3 {
		t.Fatalf("they are not started together: %+v", p)
	}
	must(t, c, s)
}

func TestARestartIsOfOneMasterAtATime(t *testing.T) {
	c := componentstest.Cluster("m1", "m2", "m3")
	s := site(c)
	must(t, c, s)
	c.Detect = 12 * time.Second
	var stages []string
	for _, phase := range Make(c, look(s), time.Now()).Phases {
		for _, stage := range phase.Stages {
			if strings.HasPrefix(stage.Name, "restart") {
				stages = append(stages, stage.Name)
				if last := stage.Jobs[0].Actions; len(stage.Jobs) != 1 || last[len(last)-1] != master.Started() {
					t.Errorf("%s: the next does not wait until it serves: %v", stage.Name, stage.Jobs)
				}
			}
		}
	}
	if want := []string{"restart of m1", "restart of m2", "restart of m3"}; !slices.Equal(stages, want) {
		t.Errorf("the stages are %v", stages)
	}
	must(t, c, s)
}

// TestWhatWouldLoseEtcdIsRefused: each with the sentence that helps.
func TestWhatWouldLoseEtcdIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		change func(c *components.Cluster, found *Facts, s *componentstest.Site)
		want   string // the first problem
	}{
		"too many masters": {func(c *components.Cluster, found *Facts, _ *componentstest.Site) {
			*c = componentstest.Cluster("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9")
			*found = look(site(*c))
		}, "m9: is one of 9 masters: each write would wait for 5 of them; give at most 7"},
		"another cluster": {func(_ *components.Cluster, found *Facts, _ *componentstest.Site) {
			f := found.Machines["m2"]
			f.Etcd.Cluster = "c2"
			found.Machines["m2"] = f
		}, `m2: runs an etcd of another cluster ("c2", and m1's is "c1")`},
		"a removed member's data": {func(_ *components.Cluster, found *Facts, _ *componentstest.Site) {
			f := found.Machines["m1"]
			f.Etcd.Members = f.Etcd.Members[:2]
			found.Machines["m1"] = f
			found.Machines["m3"] = components.Facts{MachineID: "3", Etcd: components.EtcdFact{Data: true}}
		}, "m3: has data of an etcd that does not run, and the members on m1 do not know it"},
		"a lost store": {func(c *components.Cluster, found *Facts, s *componentstest.Site) {
			for _, name := range []string{"m1", "m2", "m3"} {
				s.Machines[name].Stop(etcd.Unit)
				s.Machines[name].Remove(components.State + "/etcd/member/wal")
			}
			*found = look(s)
		}, "m1: has lost etcd's data"},
		"a silent master while another comes": {func(_ *components.Cluster, found *Facts, s *componentstest.Site) {
			s.Machines["m3"].Wipe()
			*found = look(s)
			delete(found.Machines, "m2")
		}, "m2: does not answer, and m3 is to join etcd"},
		"a member's name at another address": {func(c *components.Cluster, found *Facts, s *componentstest.Site) {
			s.Machines["m3"].Wipe()
			*found = look(s)
			c.Machines[2].Address = c.Machines[2].Address.Next().Next().Next()
			f := found.Machines["m3"]
			f.Addresses[0] = netipPrefix(c.Machines[2])
			found.Machines["m3"] = f
		}, `m3: is to join etcd, which has a member of that name at "https://192.0.2.3:2380"`},
		"a member that the file forgot": {func(c *components.Cluster, found *Facts, s *componentstest.Site) {
			s.Machines["m3"].Wipe()
			*found = look(s)
			found.Cluster.Inventory = nil // somebody deleted it: nobody knows that m2 left the file
			c.Machines[1].Name, c.Machines[1].Address = "m9", c.Machines[2].Address.Next().Next().Next()
			f := found.Machines["m3"]
			f.MachineID, f.Hostname = "9", "m9"
			f.Addresses = nil
			f.Addresses = append(f.Addresses, netipPrefix(c.Machines[1]))
			found.Machines["m9"] = f
		}, `m9: is to join etcd, which has a member "m2" at "https://192.0.2.2:2380" that the file does not name`},
	} {
		t.Run(name, func(t *testing.T) {
			c := componentstest.Cluster("m1", "m2", "m3")
			s := site(c)
			must(t, c, s)
			found := look(s)
			test.change(&c, &found, s)
			problems := Preflight(c, found)
			if len(problems) == 0 || !slices.ContainsFunc(problems, func(p Problem) bool { return strings.HasPrefix(p.Error(), test.want) }) {
				t.Errorf("got %v", problems)
			}
		})
	}
}

// TestMastersRandomWalk does to three masters what people, power and killed runs
// do, and then wants one run to be enough.
func TestMastersRandomWalk(t *testing.T) {
	for seed := range 20 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(uint64(seed), 7))
			c := componentstest.Cluster("m1", "m2", "m3", "w1")
			s := site(c)
			var done []string
			defer func() {
				if t.Failed() {
					t.Logf("after %s", strings.Join(done, ", "))
				}
			}()
			for range 6 {
				done = append(done, hurt(t, random, c, s))
				said, err := runOnce(t, c, s)
				if err != nil {
					t.Fatalf("%v\n%s", err, said)
				}
				converged(t, c, s)
			}
		})
	}
}

// hurt does one thing to the masters and says what.
func hurt(t *testing.T, random *rand.Rand, c components.Cluster, s *componentstest.Site) string {
	name := c.Masters()[random.IntN(3)].Name
	switch random.IntN(4) {
	case 0:
		left := random.IntN(250)
		for _, m := range s.Machines {
			m.Fail = func(string) error {
				if left--; left < 0 {
					return errDied
				}
				return nil
			}
		}
		_, err := runOnce(t, c, s)
		for _, m := range s.Machines {
			m.Fail = nil
		}
		if err != nil && !errors.Is(err, errDied) {
			t.Fatal(err)
		}
		return fmt.Sprintf("a run that died: %v", err)
	case 1:
		if len(etcd.Look(c, look(s).Machines).Members) == 3 {
			s.Machines[name].Wipe()
			return "a new machine for " + name
		}
	case 2:
		s.Machines[name].Reboot()
		return "reboot of " + name
	case 3:
		s.Machines[name].Stop(etcd.Unit)
		return "etcd stopped on " + name
	}
	return "nothing"
}

func netipPrefix(m components.MachineSpec) netip.Prefix { return netip.PrefixFrom(m.Address, 24) }
