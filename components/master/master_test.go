package master_test

import (
	"strings"
	"testing"
	"time"

	"provision/components"
	"provision/components/actions"
	"provision/components/componentstest"
	"provision/components/failover"
	"provision/components/master"
)

func planned(c components.Cluster, m components.MachineSpec, f components.Facts) (files map[string]string, words []string) {
	files = map[string]string{}
	for _, action := range master.Actions(c, m, f) {
		words = append(words, action.String())
		if file, ok := action.(actions.File); ok {
			files[file.Path[strings.LastIndex(file.Path, "/")+1:]] = string(file.Content)
		}
	}
	return files, words
}

func TestFailoverReachesEveryFlag(t *testing.T) {
	c := componentstest.Cluster("m1", "w1")
	c.Detect, c.Evict = 20*time.Second, 7*time.Second
	s := failover.From(c.Detect, c.Evict)
	files, _ := planned(c, c.Machines[0], components.Facts{})
	for file, wants := range map[string][]string{
		"provision-apiserver.service": {"--default-not-ready-toleration-seconds=7 ", "--default-unreachable-toleration-seconds=7 "},
		"provision-controller-manager.service": {
			"--node-monitor-grace-period=" + s.MonitorGrace.String() + " ", "--node-monitor-period=" + s.MonitorPeriod.String() + " ",
			"--leader-elect-lease-duration=" + s.LeaseDuration.String() + " ", "--leader-elect-renew-deadline=" + s.RenewDeadline.String() + " "},
		"scheduler.yaml": {"leaseDuration: " + s.LeaseDuration.String() + "\n"},
	} {
		for _, want := range wants {
			if !strings.Contains(files[file], want) {
				t.Errorf("%s lacks %q", file, want)
			}
		}
		if strings.HasSuffix(file, ".service") && !strings.Contains(files[file], "HTTP2_READ_IDLE_TIMEOUT_SECONDS=") {
			t.Errorf("%s keeps upstream's 30 s for a dead connection", file)
		}
	}
}

// TestSafeAPIServer pins what must never go missing from the flags.
func TestSafeAPIServer(t *testing.T) {
	c := componentstest.Cluster("m1")
	files, _ := planned(c, c.Machines[0], components.Facts{})
	for _, want := range []string{
		"--authorization-mode=Node,RBAC ", "--enable-admission-plugins=NodeRestriction ", "--encryption-provider-config=", "--audit-policy-file=",
		"--requestheader-allowed-names=front-proxy-client ", "--endpoint-reconciler-type=none ", "--tls-min-version=VersionTLS12 ",
		"--kubelet-certificate-authority=", "--advertise-address=192.0.2.1 ", "--bind-address=192.0.2.1 ", "--profiling=false",
	} {
		if !strings.Contains(files["provision-apiserver.service"], want) {
			t.Errorf("the API server lacks %s", want)
		}
	}
	for _, name := range []string{"controller-manager", "scheduler"} {
		if unit := files["provision-"+name+".service"]; !strings.Contains(unit, "--bind-address=127.0.0.1 ") {
			t.Errorf("%s listens to everybody", name)
		}
	}
}

func TestSeveralMastersShareConnections(t *testing.T) {
	for names, want := range map[string]bool{"m1": false, "m1 m2": true} {
		c := componentstest.Cluster(strings.Fields(names)...)
		files, _ := planned(c, c.Machines[0], components.Facts{})
		if got := strings.Contains(files["provision-apiserver.service"], "--goaway-chance"); got != want {
			t.Errorf("%s: goaway is %v", names, got)
		}
	}
}

func TestWaitsOnlyForWhatItStarts(t *testing.T) {
	c := componentstest.Cluster("m1", "w1")
	if _, words := planned(c, c.Machines[1], components.Facts{}); len(words) > 0 {
		t.Errorf("a worker gets %q", words)
	}
	_, words := planned(c, c.Machines[0], components.Facts{})
	if last := words[len(words)-1]; last != "wait until the API server is ready" {
		t.Errorf("ends with %q", last)
	}
	site := componentstest.NewSite(c)
	for _, action := range master.Actions(c, c.Machines[0], components.Facts{}) {
		if _, waits := action.(actions.WaitAPI); waits {
			continue
		}
		if err := action.Apply(t.Context(), site.Machines["m1"], site); err != nil {
			t.Fatal(err)
		}
	}
	f := site.Machines["m1"].Facts()
	for name, unit := range f.Units {
		unit.Active = "active"
		f.Units[name] = unit
	}
	f.Units["provision-scheduler.service"] = components.UnitFact{Enabled: true, Active: "failed"}
	_, words = planned(c, c.Machines[0], f)
	if len(words) != 1 || words[0] != "start scheduler" {
		t.Errorf("a dead scheduler gives %q", words)
	}
}
