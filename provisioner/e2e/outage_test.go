//go:build lab

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// outage deletes a Node while its agent is down. Then it takes the API server
// away, and while it is away a worker loses its power, and is rebooted once more:
// the pod network comes back from what the machine kept, in nothing but
// ciphertext, with the keys that it had.
//
// The API is away for about a minute, since its master has to boot as well;
// PROVISION_OUTAGE=5m makes that longer.
func (l *lab) outage() {
	t := l.t.(*testing.T)
	outage := 45 * time.Second
	if text := os.Getenv("PROVISION_OUTAGE"); text != "" {
		var err error
		if outage, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	l.settle("m1", "w1", "w2")
	o := observer{t, l}
	o.staticPod("w1")
	l.apply(fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"left"},"spec":{"nodeName":"w2","containers":[{"name":"probe","image":%q,"args":["serve"]}]}}`, image(t, "probe")))
	l.kubectl("wait", "--for=condition=Ready", "pod/left", "--timeout=60s")
	eventually(t, "the pods hear each other", func() (bool, string) { return l.answersFrom("w2", l.handmadeAddress("w1")) })
	eventually(t, "the pods hear each other", func() (bool, string) { return l.answersFrom("w2", l.handmadeAddress("m1")) })

	t.Run("Node deleted while its agent is down", func(t *testing.T) {
		observer{t, l.in(t)}.deleted(o.look())
	})

	before := o.look()
	t.Run("API server down", func(t *testing.T) {
		l := l.in(t)
		o := observer{t, l}
		ended := l.watchWire()
		toMaster := l.speak("master", "w2", before["m1"].pod, "0s")
		toWorker := l.speak("worker", "w2", before["w1"].pod, "2s")
		time.Sleep(2 * time.Second)
		began := time.Now()
		l.on("m1", "systemctl", "stop", "provision-apiserver", "provision-etcd")
		time.Sleep(3 * time.Second)

		l.lab("kill", "w1")
		power := time.Now()
		l.lab("start", "w1")
		o.regained("w1", before["w1"].pod)
		o.staticPodAnswers("w1")
		time.Sleep(time.Until(began.Add(outage / 2)))
		o.told("power lost while API server and etcd are stopped", "w1", power, toWorker.end())
		o.lived("to a machine that only lost its API server", toMaster.end())

		// Now the master is gone as a whole.
		toWorker = l.speak("worker", "w2", before["w1"].pod, "2s")
		time.Sleep(2 * time.Second)
		l.lab("kill", "m1")
		power = o.reboot("w1")
		o.regained("w1", before["w1"].pod)
		o.staticPodAnswers("w1")
		time.Sleep(time.Until(began.Add(outage)))
		o.same(before, "w1", "w2") // from the machines alone: nobody else can tell

		back := time.Now()
		l.lab("start", "m1")
		eventually(t, "the API answers", func() (bool, string) {
			out := l.call(20*time.Second, "bin/provision", "kubectl", l.file, "--", "wait", "--for=condition=Ready", "nodes", "--all", "--timeout=10s")
			return out.code == 0, out.all()
		})
		t.Logf("the API was away for %v; all nodes were Ready %v after the master's power was back", time.Since(began).Round(time.Second), time.Since(back).Round(100*time.Millisecond))
		eventually(t, "the master's pod is back", func() (bool, string) { return l.answersFrom("w2", before["m1"].pod) })
		o.told("rebooted while the master is off", "w1", power, toWorker.end())
		o.same(before, "m1", "w1", "w2")
		o.sealed(ended())
		o.verified()
	})
}

// deleted deletes w2's Node while its agent is down, and has it come back.
func (o observer) deleted(before map[string]machineState) {
	t, l := o.t, o.l
	ended := l.watchWire()
	others := l.speak("others", "w1", before["m1"].pod, "0s")
	toDeleted := l.speak("deleted", "w1", before["w2"].pod, "0s")
	key := l.overlay("w2").PublicKey.String()
	uid := l.nodeUIDs()["w2"]
	l.on("w2", "systemctl", "stop", "provision-overlay")
	l.kubectl("delete", "node", "w2")
	for _, m := range []string{"m1", "w1"} {
		eventually(t, m+" let go of w2", func() (bool, string) {
			keys := l.deviceKeys(m)
			return !slices.Contains(keys, key) && len(keys) == 1, fmt.Sprint(keys)
		})
	}
	l.on("w2", "systemctl", "start", "provision-overlay")
	eventually(t, "w2 says that its Node is gone", func() (bool, string) {
		said := strings.Join(l.overlay("w2").Problems, "\n")
		return strings.Contains(said, "was deleted"), said
	})
	start := time.Now()
	l.on("w2", "systemctl", "restart", "provision-kubelet") // makes its Node again
	eventually(t, "w2 has a Node, and a subnet", func() (bool, string) {
		s := l.overlay("w2")
		subnet := l.call(20*time.Second, "bin/provision", "kubectl", l.file, "--", "get", "node", "w2", "-o", "jsonpath={.metadata.uid} {.spec.podCIDR}").stdout
		return s.Announced && !strings.HasPrefix(subnet, uid) && strings.HasSuffix(subnet, fmt.Sprint(" ", s.Subnets[0])), fmt.Sprint(subnet, s.Subnets, s.Problems)
	})
	address := l.handmadeAddress("w2")
	if address != before["w2"].pod {
		l.on("w2", "systemctl", "restart", handmade) // into the subnet that it has now
	}
	eventually(t, "pods reach w2 again", func() (bool, string) { return l.answersFrom("w1", address) })
	healed := time.Now()
	r := toDeleted.end()
	if address == before["w2"].pod {
		if len(r.UDP.Silences) == 0 {
			t.Errorf("a machine without a Node was heard: %+v", r)
		} else {
			healed = time.Unix(0, r.UDP.Silences[len(r.UDP.Silences)-1].End)
		}
	}
	t.Logf("Node deleted while the agent is down: pods reach its pods again %v after its kubelet was restarted (in another subnet: %v); UDP silent for %v, %d TCP connections",
		healed.Sub(start).Round(10*time.Millisecond), address != before["w2"].pod, r.UDP.Longest.Round(time.Millisecond), r.TCP.Connections)
	after := o.look()
	for m, s := range after {
		if s.key != before[m].key {
			t.Errorf("%s has another key", m)
		}
		o.noneStale(m, s, after)
	}
	o.lived("between the two others", others.end())
	o.sealed(ended())
	o.replaced("w2", address != before["w2"].pod)
	l.provision(0, "up", "--yes")
	o.verified()
}

// replaced has the pods of a machine that got another subnet made anew: until then
// its agent says that they are lost.
func (o observer) replaced(machine string, moved bool) {
	o.t.Helper()
	const lost = "of a subnet that this machine no longer has"
	if !moved {
		o.t.Errorf("%s has its old subnet: nothing is seen of how pods of another one are told", machine)
		return
	}
	eventually(o.t, "pods of the old subnet are told", func() (bool, string) {
		said := strings.Join(o.l.overlay(machine).Problems, "\n")
		return strings.Contains(said, lost), said
	})
	o.l.kubectl("delete", "pods", "-A", "--grace-period=2", "--field-selector=spec.nodeName="+machine)
	eventually(o.t, "there are none any more", func() (bool, string) {
		said := strings.Join(o.l.overlay(machine).Problems, "\n")
		return !strings.Contains(said, lost), said
	})
}

// observer looks at a lab for one test.
type observer struct {
	t *testing.T
	l *lab
}

// machineState is what must not change with a reboot.
type machineState struct {
	key   string
	pod   string   // where its handmade pod answers
	peers []string // keys of wg0's peers, sorted
	uids  []string // of the Nodes that its agent takes for peers, sorted
}

func (o observer) look(machines ...string) map[string]machineState {
	o.t.Helper()
	if len(machines) == 0 {
		machines = []string{"m1", "w1", "w2"}
	}
	all := map[string]machineState{}
	for _, m := range machines {
		status := o.l.overlay(m)
		s := machineState{key: status.PublicKey.String(), pod: o.l.handmadeAddress(m), peers: o.l.deviceKeys(m)}
		for _, p := range status.Peers {
			s.uids = append(s.uids, p.UID)
		}
		slices.Sort(s.uids)
		all[m] = s
	}
	return all
}

// same checks that nothing changed.
func (o observer) same(before map[string]machineState, machines ...string) {
	o.t.Helper()
	for m, s := range o.look(machines...) {
		if was := before[m]; s.key != was.key || s.pod != was.pod || !slices.Equal(s.peers, was.peers) || !slices.Equal(s.uids, was.uids) {
			o.t.Errorf("%s: %+v, before %+v", m, s, was)
		}
	}
}

// noneStale checks that a machine has the others as peers and nobody else.
func (o observer) noneStale(machine string, s machineState, all map[string]machineState) {
	o.t.Helper()
	nodes := o.l.nodeUIDs()
	var keys, uids []string
	for m, other := range all {
		if m != machine {
			keys, uids = append(keys, other.key), append(uids, nodes[m])
		}
	}
	slices.Sort(keys)
	slices.Sort(uids)
	if !slices.Equal(s.peers, keys) || !slices.Equal(s.uids, uids) {
		o.t.Errorf("%s has the peers %v of the Nodes %v, want %v of %v", machine, s.peers, s.uids, keys, uids)
	}
}

// nodeUIDs are the Nodes' by their names.
func (l *lab) nodeUIDs() map[string]string {
	l.t.Helper()
	uids := map[string]string{}
	for line := range strings.Lines(l.kubectl("get", "nodes", "-o", `jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}{"\n"}{end}`)) {
		name, uid, _ := strings.Cut(strings.TrimSpace(line), " ")
		uids[name] = uid
	}
	return uids
}

// reboot has a machine end as its own systemd sees fit, and boots it. It returns
// when it was switched on.
func (o observer) reboot(machine string) time.Time {
	o.t.Helper()
	o.l.call(20*time.Second, "bin/lab", "ssh", machine, "--dir", o.l.dir, "--", "systemctl", "reboot")
	var on time.Time
	eventually(o.t, machine+" is down", func() (bool, string) {
		on = time.Now()
		out := o.l.call(2*time.Minute, "bin/lab", "start", machine, "--dir", o.l.dir)
		return out.code == 0, out.all()
	})
	return on
}

// regained waits until a machine's handmade pod answers one of w2.
func (o observer) regained(machine, pod string) {
	o.t.Helper()
	eventually(o.t, machine+"'s pod is back without the API", func() (bool, string) { return o.l.answersFrom("w2", pod) })
	eventually(o.t, machine+" says that it has no API", func() (bool, string) {
		said := strings.Join(o.l.overlay(machine).Problems, "\n")
		return strings.Contains(said, "the API cannot be read, the network stays as it is"), said
	})
	if log := o.l.on(machine, "journalctl", "-b", "-q", "--no-pager", "-u", handmade); strings.Contains(log, "Scheduled restart") {
		o.t.Errorf("the overlay was ready before bridge0 was:\n%s", log)
	}
}

// told logs what a conversation over a machine's reboot was like.
func (o observer) told(what, machine string, power time.Time, r conversationReport) {
	o.t.Helper()
	text := strings.TrimSpace(o.l.on(machine, "systemctl", "show", "--value", "-p", "InactiveExitTimestamp", "--timestamp=us+utc", "provision-overlay"))
	unit, err := time.Parse("Mon 2006-01-02 15:04:05.999999 MST", text)
	if err != nil {
		o.t.Fatal(err)
	}
	if r.UDP.Answered == 0 || r.TCP.Answered == 0 || len(r.UDP.Silences) == 0 {
		o.t.Errorf("%s: heard %+v", what, r)
		return
	}
	longest := slices.MaxFunc(r.UDP.Silences, func(x, y silence) int { return int(x.End - x.Begin - y.End + y.Begin) })
	end := time.Unix(0, longest.End)
	o.t.Logf("%s: UDP silent for %v, until %v after power on and %v after the overlay's unit began to start; %d of %d answered; TCP silent for %v, %d connections",
		what, r.UDP.Longest.Round(time.Millisecond), end.Sub(power).Round(10*time.Millisecond), end.Sub(unit).Round(10*time.Millisecond),
		r.UDP.Answered, r.UDP.Said, r.TCP.Longest.Round(time.Millisecond), r.TCP.Connections)
}

// lived checks that a conversation went on, over one connection.
func (o observer) lived(what string, r conversationReport) {
	o.t.Helper()
	o.t.Logf("%s: UDP silent for %v at the longest, %d of %d answered; one TCP connection for %v",
		what, r.UDP.Longest.Round(time.Millisecond), r.UDP.Answered, r.UDP.Said, r.TCP.Longest.Round(time.Millisecond))
	if r.TCP.Connections != 1 || r.TCP.Longest > 5*time.Second || r.UDP.Longest > 5*time.Second {
		o.t.Errorf("%s: it was cut: %d connections, silences %v and %v", what, r.TCP.Connections, r.UDP.Longest, r.TCP.Longest)
	}
}

// sealed checks what was seen on the wire.
func (o observer) sealed(r wireReport) {
	o.t.Helper()
	o.t.Logf("on the wire: %d packets, %d of WireGuard, %d in clear, %d missed", r.Packets, r.WireGuard, r.Clear, r.Missed)
	if r.Clear > 0 || r.WireGuard == 0 {
		o.t.Errorf("%d packets in clear, the first: %s", r.Clear, r.First)
	}
}

// verified has verify pass: at the second try, where all machines of a slow host
// are busy with their return.
func (o observer) verified() {
	o.t.Helper()
	if out := o.l.call(3*time.Minute, "bin/provision", "verify", o.l.file); out.code != 0 {
		o.t.Logf("verify, at first: %s", out.stderr)
		o.l.provision(0, "verify")
	}
}

// staticPod gives a machine's kubelet a pod from a file.
func (o observer) staticPod(machine string) {
	o.t.Helper()
	o.l.put(machine, "/etc/e2e-pods/still.json", 0o644, fmt.Sprintf(
		`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"still","namespace":"default"},"spec":{"containers":[{"name":"probe","image":%q,"args":["serve","--port","8083"]}]}}`,
		image(o.t, "probe")))
	o.l.on(machine, "sh", "-c", `unit=/etc/systemd/system/provision-kubelet.service
		mkdir -p $unit.d
		{ echo "[Service]"; echo ExecStart=; sed -n '/^ExecStart=/,/[^\\]$/p' $unit | sed 's|--config=|--pod-manifest-path=/etc/e2e-pods --config=|'; } > $unit.d/static.conf
		sync; systemctl daemon-reload && systemctl restart provision-kubelet`)
	o.staticPodAnswers(machine)
}

// staticPodAnswers waits until it does, to a pod of w2.
func (o observer) staticPodAnswers(machine string) {
	o.t.Helper()
	eventually(o.t, "the static pod of "+machine+" answers", func() (bool, string) {
		out := o.l.call(20*time.Second, "bin/lab", "ssh", machine, "--dir", o.l.dir, "--",
			"nsenter -t $(pgrep -f 'serve.--port.808[3]') -n ip -4 -j addr show dev eth0")
		var links []struct {
			Info []struct{ Local string } `json:"addr_info"`
		}
		if err := json.Unmarshal([]byte(out.stdout), &links); err != nil || len(links) == 0 || len(links[0].Info) == 0 {
			return false, out.all()
		}
		return o.l.answersFrom("w2", links[0].Info[0].Local+":8083")
	})
}
