package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provision/components"
	"provision/components/bundle/bundletest"
	"provision/provisioner/config"
	"provision/provisioner/plan"
	"provision/provisioner/ssh"
	"provision/provisioner/ssh/sshtest"
)

// soon is a context for what must not hang.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// machine is a server that answers a look with next to nothing.
func machine(t *testing.T) *sshtest.Server {
	return sshtest.Start(t, sshtest.Options{Exec: func(c *sshtest.Command) int {
		io.Copy(io.Discard, c.Stdin)
		fmt.Fprintln(c.Stdout, "end")
		return 0
	}})
}

// file writes a cluster file: m1 is the master, the rest are workers.
func file(t *testing.T, servers map[string]*sshtest.Server) string {
	t.Helper()
	var text strings.Builder
	fmt.Fprint(&text, "cluster \"test\" {}\n")
	for i, name := range []string{"m1", "w1"} {
		server := servers[name]
		role := map[bool]string{true: "master", false: "worker"}[name == "m1"]
		fmt.Fprintf(&text, "machine %q {\n  role = %q\n  address = \"192.0.2.%d\"\n  ssh {\n    host = %q\n    port = %d\n    user = %q\n    key = %q\n    host_key = %q\n  }\n}\n",
			name, role, i+1, server.Host, server.Port, server.User, server.KeyFile, server.HostKey())
	}
	path := filepath.Join(t.TempDir(), "cluster.hcl")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// connected is a session with a connection to each of the file's machines.
func connected(t *testing.T, path string) *session {
	t.Helper()
	loaded, diags := config.Load(path, nil)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}
	s := &session{
		app: a, file: loaded, cluster: plan.Wanted(loaded, components.Bundle{}, "1.36.3"),
		clients: map[string]*ssh.Client{}, unreach: map[string]error{},
	}
	t.Cleanup(s.close)
	s.connect(soon(t), loaded.Machines)
	if len(s.unreach) > 0 {
		t.Fatal(s.unreach)
	}
	return s
}

func TestAWorkerThatFallsSilentIsLeftOut(t *testing.T) {
	servers := map[string]*sshtest.Server{"m1": machine(t), "w1": machine(t)}
	s := connected(t, file(t, servers))
	servers["w1"].Drop()
	found, err := s.lookAgain(soon(t), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, there := found.Machines["m1"]; !there || len(found.Machines) != 1 {
		t.Errorf("found %v", found.Machines)
	}
	if err := s.leftOut(); err == nil || !strings.Contains(err.Error(), "w1: left out: ") {
		t.Errorf("error %v", err)
	}
	if err := s.refuse(found); err != nil && strings.Contains(err.Error(), "w1") {
		t.Errorf("refused: %v", err)
	}

	servers["m1"].Drop()
	if _, err := s.lookAgain(soon(t), nil, nil); err == nil || !strings.Contains(err.Error(), "m1: ") {
		t.Errorf("a silent master: error %v", err)
	}
}

// A master that was silent when a run began does not end it, whatever the run
// does; one that falls silent in the middle does.
func TestAMasterThatWasSilentFromTheBeginning(t *testing.T) {
	s := connected(t, file(t, map[string]*sshtest.Server{"m1": machine(t), "w1": machine(t)}))
	for _, name := range []string{"m2", "m3"} {
		s.cluster.Machines = append(s.cluster.Machines, components.MachineSpec{Name: name, Role: components.Master})
	}
	s.unreach["m2"] = errors.New("no route to host")
	again := s.env("down", nil, func(plan.Facts) plan.Plan { return plan.Plan{Phases: []plan.Phase{{Name: "remove"}}} }).Replan
	if p, err := again(soon(t), nil); err != nil || len(p.Phases) != 1 {
		t.Errorf("%+v, error %v", p, err)
	}
	s.unreach["m3"] = errors.New("connection refused")
	if _, err := again(soon(t), nil); err == nil || !strings.Contains(err.Error(), "m3: connection refused") || strings.Contains(err.Error(), "m2") {
		t.Errorf("one that fell silent: error %v", err)
	}
}

// Masters that were cleaned know no generation; a worker that was off then does.
func TestARunIsNewerThanWhatAWorkerHasSeen(t *testing.T) {
	w1 := sshtest.Start(t, sshtest.Options{Exec: func(c *sshtest.Command) int {
		io.Copy(io.Discard, c.Stdin)
		fmt.Fprint(c.Stdout, "generation 7\nend\n")
		return 0
	}})
	s := connected(t, file(t, map[string]*sshtest.Server{"m1": machine(t), "w1": w1}))
	if _, err := s.look(soon(t)); err != nil {
		t.Fatal(err)
	}
	if got := s.env("down", nil, nil).Generation; got != 7 {
		t.Errorf("generation %d", got)
	}
}

// A worker whose connection is lost in a run is named by the run's own error, and not once more.
func TestAWorkerThatFailedIsNamedOnce(t *testing.T) {
	servers := map[string]*sshtest.Server{"m1": machine(t), "w1": machine(t)}
	s := connected(t, file(t, servers))
	servers["w1"].Drop()
	if _, err := s.lookAgain(soon(t), []string{"w1"}, nil); err != nil {
		t.Error(err)
	}
	if err := s.leftOut(); err != nil {
		t.Errorf("once more: %v", err)
	}
}

func TestTheWrongFileTakesNothingAway(t *testing.T) {
	other := sshtest.Start(t, sshtest.Options{Exec: func(c *sshtest.Command) int {
		io.Copy(io.Discard, c.Stdin)
		fmt.Fprint(c.Stdout, "trace /etc/provision\nnode {\"cluster\": \"other\"}\nend\n")
		return 0
	}})
	data, _ := bundletest.Make(t, "1.36.3", map[string]string{"bin/agent": "agent"})
	bundles := t.TempDir()
	if err := os.WriteFile(filepath.Join(bundles, "bundle-1.36.3-linux-amd64.tar.zst"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	path := file(t, map[string]*sshtest.Server{"m1": machine(t), "w1": other})
	for _, command := range []string{"plan", "down"} {
		var out bytes.Buffer
		code := Main(soon(t), []string{command, path, "--bundles", bundles}, strings.NewReader(""), &out, &out)
		if code != exitFailed || !strings.Contains(out.String(), `w1: belongs to the cluster "other", and the file is of "test"`) {
			t.Errorf("%s: exit status %d: %s", command, code, &out)
		}
	}
}

func TestWithoutAHomeNothingIsMergedIntoTheFolderAtHand(t *testing.T) {
	path := file(t, map[string]*sshtest.Server{"m1": machine(t), "w1": machine(t)})
	t.Chdir(t.TempDir())
	t.Setenv("HOME", "")
	t.Setenv("KUBECONFIG", "")
	var out bytes.Buffer
	code := Main(soon(t), []string{"kubeconfig", path, "--merge"}, strings.NewReader(""), &out, &out)
	if code != exitFailed || !strings.Contains(out.String(), "name the file in KUBECONFIG") {
		t.Errorf("exit status %d: %s", code, &out)
	}
}

func TestStatusSaysWhoseAMachineIsAndWhereNothingIs(t *testing.T) {
	s := connected(t, file(t, map[string]*sshtest.Server{"m1": machine(t), "w1": machine(t)}))
	rows := s.rows(plan.Facts{Machines: map[string]components.Facts{
		"m1": {},
		"w1": {Traces: []string{components.Etc}, Cluster: "other"},
	}}, nil)
	for i, want := range []string{"nothing of ours is on it", `belongs to the cluster "other"`} {
		if got := strings.Join(rows[i].Problems, "; "); got != want {
			t.Errorf("%s: %q, not %q", rows[i].Name, got, want)
		}
	}
}

func TestALookAfterAFailureLeavesTheMachineOut(t *testing.T) {
	s := connected(t, file(t, map[string]*sshtest.Server{"m1": machine(t), "w1": machine(t)}))
	found, err := s.lookAgain(soon(t), []string{"w1"}, nil)
	if _, there := found.Machines["w1"]; err != nil || there {
		t.Errorf("found %v, error %v", found.Machines, err)
	}
}

func TestAnInterruptedLookBlamesNoMachine(t *testing.T) {
	s := connected(t, file(t, map[string]*sshtest.Server{"m1": machine(t), "w1": machine(t)}))
	ctx, interrupt := context.WithCancelCause(t.Context())
	interrupt(errors.New("interrupted"))
	if _, err := s.look(ctx); err == nil || err.Error() != "interrupted" || len(s.unreach) > 0 {
		t.Errorf("error %v, unreachable %v", err, s.unreach)
	}
}

func TestAnotherHostKeyStopsEverything(t *testing.T) {
	servers := map[string]*sshtest.Server{"m1": machine(t), "w1": machine(t)}
	path := file(t, servers)
	s := connected(t, path)
	servers["w1"].SetHostKey(sshtest.NewKey(t))
	s.connect(soon(t), s.file.Machines[1:])
	if err := s.refuse(plan.Facts{}); err == nil || !strings.Contains(err.Error(), "w1: the host key of") {
		t.Errorf("error %v", err)
	}
}

func TestKubectlWaitsForNoWorker(t *testing.T) {
	servers := map[string]*sshtest.Server{"m1": machine(t), "w1": machine(t)}
	path := file(t, servers)
	var stderr bytes.Buffer
	code := Main(soon(t), []string{"kubectl", path, "--", "get", "nodes"}, strings.NewReader(""), io.Discard, &stderr)
	if code != exitFailed || servers["m1"].Stats().Logins != 1 || servers["w1"].Stats().Connections != 0 {
		t.Errorf("exit status %d, %+v, %+v: %s", code, servers["m1"].Stats(), servers["w1"].Stats(), &stderr)
	}
}
