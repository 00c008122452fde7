//go:build lab

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"
)

// masters grows a cluster from one master to three, puts a blank machine in
// a dead master's place, and takes the whole site's power away. Whatever was
// written before is there after each, under the same UIDs.
func (l *lab) masters() {
	t := l.t
	three, err := os.ReadFile(l.file)
	if err != nil {
		t.Fatal(err)
	}
	l.only("m1", "w1")
	l.provision(0, "up", "--yes")
	l.write("one")

	if err := os.WriteFile(l.file, three, 0o600); err != nil {
		t.Fatal(err)
	}
	l.provision(2, "plan")
	l.provision(0, "up", "--yes")
	l.provision(0, "plan")
	l.kept("one master became three")
	l.voters("m1", "m2", "m3")
	l.learnt("w1", 3)
	l.write("three")

	l.floats("m2")

	// The master that made everything dies, and its disk with it.
	l.lab("kill", "m1")
	l.write("without-m1")
	out := l.provision(1, "plan")
	if !strings.Contains(out.stderr, "m1: left out") {
		t.Errorf("a dead master of three: %s", out.all())
	}
	l.lab("replace", "m1")
	out = l.provision(2, "plan")
	if !strings.Contains(out.stdout, "remove the member that lost its data, join as a learner") {
		t.Errorf("a blank machine in its place: %s", out.all())
	}
	l.provision(0, "up", "--yes")
	l.provision(0, "plan")
	l.kept("a blank machine took m1's place")
	l.voters("m1", "m2", "m3")

	// The whole site. Members need each other to begin: nobody waits for one alone.
	l.lab("kill", "m1", "m2", "m3", "w1", "w2")
	for _, name := range []string{"m3", "w1", "m2", "w2", "m1"} {
		l.lab("start", name)
	}
	l.provision(0, "up", "--yes")
	l.kept("the site's power came back")
	l.voters("m1", "m2", "m3")
	for _, name := range []string{"m1", "m2", "m3"} {
		l.on(name, "systemctl", "stop", "provision-apiserver", "provision-etcd")
	}
	l.provision(0, "up", "--yes")
	l.provision(0, "plan")
	l.kept("all masters were stopped")
	l.provision(0, "verify")
}

// floats gives the API an address that no machine owns, and one machine that
// address: it is answered there, under its name, and nothing restarted for it.
func (l *lab) floats(machine string) {
	l.t.Helper()
	const at = "192.168.56.10"
	l.insert("  api { endpoint = \"" + at + "\" }\n")
	plan := l.provision(2, "plan").stdout
	if !strings.Contains(plan, "issue certificates apiserver") || strings.Contains(plan, "restart") {
		l.t.Errorf("api.endpoint is said: %s", plan)
	}
	l.provision(0, "up", "--yes")
	l.provision(0, "plan")
	l.on(machine, "ip", "addr", "add", at+"/24", "dev", "eth0")
	defer l.on(machine, "ip", "addr", "del", at+"/24", "dev", "eth0")
	eventually(l.t, "the API is at "+at, func() (bool, string) {
		status, err := l.askAPI("https://" + at + ":6443")
		return err == nil && status == http.StatusOK, fmt.Sprint(status, err)
	})
}

// learnt waits until a machine's balancer has so many masters from the cluster.
func (l *lab) learnt(machine string, masters int) {
	l.t.Helper()
	eventually(l.t, machine+"'s balancer has learnt of the masters", func() (bool, string) {
		out := l.call(20*time.Second, "bin/lab", "ssh", machine, "--dir", l.dir, "--", "cat", "/var/lib/provision/balancer/servers.json")
		_, servers, _ := strings.Cut(out.stdout, `"servers":`)
		return strings.Count(servers, ":6443") == masters, out.all()
	})
}

// only leaves out of the lab's file every machine but these.
func (l *lab) only(names ...string) {
	l.t.Helper()
	text, err := os.ReadFile(l.file)
	if err != nil {
		l.t.Fatal(err)
	}
	block := regexp.MustCompile(`(?ms)^machine "([a-z0-9]+)" \{.*?^\}\n`)
	text = block.ReplaceAllFunc(text, func(found []byte) []byte {
		for _, name := range names {
			if string(block.FindSubmatch(found)[1]) == name {
				return found
			}
		}
		return nil
	})
	if err := os.WriteFile(l.file, text, 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// written are the objects that were written in each lab so far: UIDs by name.
var written = map[string]map[string]string{}

const perWrite = 20

// write makes objects that have to survive.
func (l *lab) write(name string) {
	l.t.Helper()
	var manifest strings.Builder
	for i := range perWrite {
		fmt.Fprintf(&manifest, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept-%s-%d, labels: {kept: \"yes\"}}\ndata: {of: %q}\n", name, i, name)
	}
	l.apply(manifest.String())
	before := written[l.dir]
	written[l.dir] = l.uids()
	if got := len(written[l.dir]) - len(before); got != perWrite {
		l.t.Fatalf("%d objects more after %d were written", got, perWrite)
	}
}

// kept wants every object that was written.
func (l *lab) kept(after string) {
	l.t.Helper()
	now := l.uids()
	for name, uid := range written[l.dir] {
		if now[name] != uid {
			l.t.Errorf("after %s: %s has the UID %q, and had %q", after, name, now[name], uid)
		}
	}
	l.t.Logf("after %s: %d objects, each with its UID", after, len(now))
}

func (l *lab) uids() map[string]string {
	l.t.Helper()
	var list struct {
		Items []struct {
			Metadata struct{ Name, UID string }
		}
	}
	if err := json.Unmarshal([]byte(l.kubectl("get", "configmaps", "-l", "kept", "-o", "json")), &list); err != nil {
		l.t.Fatal(err)
	}
	uids := map[string]string{}
	for _, item := range list.Items {
		uids[item.Metadata.Name] = item.Metadata.UID
	}
	return uids
}

// voters wants status to show these masters, and no other, as voters of one etcd.
func (l *lab) voters(names ...string) {
	l.t.Helper()
	eventually(l.t, "status is well", func() (bool, string) {
		out := l.call(time.Minute, "bin/provision", "status", l.file, "--json")
		var status struct {
			Machines []struct{ Name, Etcd string }
		}
		if err := json.Unmarshal([]byte(out.stdout), &status); err != nil {
			return false, out.all()
		}
		var leaders, voters int
		for _, m := range status.Machines {
			switch m.Etcd {
			case "leader":
				leaders++
			case "voter":
				voters++
			}
		}
		return out.code == 0 && leaders == 1 && voters == len(names)-1, out.all()
	})
}
