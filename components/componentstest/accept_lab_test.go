//go:build lab

package componentstest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"provision/components"
	"provision/components/actions"
	"provision/components/addons"
	"provision/components/base"
	"provision/components/etcd"
	"provision/components/handover"
	"provision/components/manifest"
	"provision/components/master"
	"provision/components/pki"
	"provision/components/worker"
)

// TestAccept runs the real binaries with the real files, in namespaces of its
// own: every flag, every field and every manifest is accepted, and a control
// plane becomes ready. PROVISION_NODE names the node binary, so that it can be
// run for each Kubernetes version.
func TestAccept(t *testing.T) {
	node := os.Getenv("PROVISION_NODE")
	if node == "" {
		t.Fatal("PROVISION_NODE is to name a node binary")
	}
	if os.Getenv("PROVISION_ACCEPT_INSIDE") == "" {
		enter(t)
		return
	}
	arrange(t, node)
	c, m, f := Cluster("m1", "w1"), components.MachineSpec{}, components.Facts{Cgroup: 1}
	c.Machines[0].Address = netip.MustParseAddr("192.0.2.11")
	m = c.Machines[0]
	agent := filepath.Join(t.TempDir(), "agent")
	run(t, "go", "build", "-o", agent, "provision/components/agent")
	link(t, agent, c.Agent())
	link(t, node, c.BundleDir()+"/bin/node")

	site := &here{t: t, address: m.Address}
	apply := func(list []components.Action) {
		t.Helper()
		for _, action := range list {
			switch action.(type) {
			case actions.Units, actions.WaitAPI, actions.Sysctls, actions.Modules, base.ReloadNetwork:
				continue // there is no systemd, and the kernel is everybody's
			}
			if err := action.Apply(t.Context(), site, site); err != nil {
				t.Fatalf("%s: %v", action, err)
			}
		}
	}
	apply([]components.Action{pki.Init{Agent: c.Agent()}, pki.Issue{Agent: c.Agent(), Signer: "m1", Leaves: pki.Leaves(c, m)}})
	has, err := site.Run(t.Context(), []string{c.Agent(), "certificates", "list", "--dir", components.PKI}, nil)
	if err == nil {
		err = json.Unmarshal(has, &f.Certificates)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.Trust = pki.Trusted(f)
	apply(pki.Trust(c, m, f))
	apply(base.Actions(c, m, f))
	apply(etcd.Actions(c, m, f, etcd.Begin))
	apply(master.Actions(c, m, f))
	apply(worker.Network(c, m, f))
	apply(worker.Actions(c, m, f))

	start := time.Now()
	processes := []*process{launch(t, "etcd"), launch(t, "apiserver")}
	if err := (actions.WaitAPI{Timeout: 90 * time.Second}).Apply(t.Context(), site, site); err != nil {
		t.Fatalf("%v\n%s\n%s", err, processes[0].tail(), processes[1].tail())
	}
	t.Logf("ready after %s", time.Since(start).Round(10*time.Millisecond))
	processes = append(processes, launch(t, "controller-manager"), launch(t, "scheduler"))
	apply(addons.Access(c, m, components.ClusterFacts{}))
	apply(addons.Optional(c, components.ClusterFacts{}))
	apply(addons.Inventory(c, components.ClusterFacts{}))
	apply(addons.Nodes(c, m, components.ClusterFacts{}))
	apply(addons.Nodes(c, m, components.ClusterFacts{}))

	site.eventually("a pod subnet", func() bool {
		return strings.Contains(site.get("/api/v1/nodes/m1"), `"podCIDR":"10.244.0.0/24"`)
	})
	site.eventually("pods of CoreDNS", func() bool {
		return strings.Count(site.get("/api/v1/namespaces/kube-system/pods"), `"generateName":"coredns-`) == 2
	})
	if text := site.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"); !strings.Contains(text, "192.0.0.11") {
		t.Errorf("the API's endpoint is %s", text)
	}
	_, err = site.Do(t.Context(), "POST", "/api/v1/nodes", "application/json",
		[]byte(`{"apiVersion":"v1","kind":"Node","metadata":{"name":"thief"},"spec":{"podCIDRs":["10.244.0.0/24"],"podCIDR":"10.244.0.0/24"}}`))
	if err == nil || !strings.Contains(err.Error(), "only the controller manager") {
		t.Errorf("an administrator set a pod subnet: %v", err)
	}
	for _, p := range processes {
		if err := p.ended(); err != nil {
			t.Errorf("%s ended: %v\n%s", p.name, err, p.tail())
		}
		for _, complaint := range []string{"unknown flag", "strict decoding", "unknown field", "deprecated"} {
			if strings.Contains(p.out.String(), complaint) {
				t.Errorf("%s complains: %s", p.name, p.tail())
			}
		}
	}
	// kubelet finds no runtime here and says so; kube-proxy may lack nft. Before that they check their files.
	for name, wants := range map[string]string{"kubelet": "containerd.sock", "proxy": ""} {
		p := launch(t, name)
		deadline := time.Now().Add(20 * time.Second)
		for p.ended() == nil && time.Now().Before(deadline) && (wants == "" || !strings.Contains(p.out.String(), wants)) {
			time.Sleep(100 * time.Millisecond)
			if wants == "" && time.Until(deadline) < 15*time.Second {
				break
			}
		}
		text := p.out.String()
		if !strings.Contains(text, wants) || strings.Contains(text, "unknown field") || strings.Contains(text, "failed to load") || strings.Contains(text, "invalid configuration") {
			t.Errorf("%s: %s", name, p.tail())
		}
		t.Logf("%s", p.tail())
	}
}

// enter runs this test again, in a network and a mount namespace that die with it.
func enter(t *testing.T) {
	cmd := exec.Command("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
		os.Args[0], "-test.run=^TestAccept$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), "PROVISION_ACCEPT_INSIDE=1")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

// arrange makes the folders of a machine, over those of the host, and a network.
func arrange(t *testing.T, node string) {
	scratch := t.TempDir()
	run(t, "mount", "-t", "tmpfs", "tmpfs", scratch)
	t.Cleanup(func() { syscall.Unmount(scratch, syscall.MNT_DETACH) })
	for _, dir := range []string{"/etc", "/var/lib", "/opt", "/run"} {
		name := strings.ReplaceAll(dir, "/", "_")
		upper, work := scratch+"/"+name+".upper", scratch+"/"+name+".work"
		for _, d := range []string{upper, work} {
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		run(t, "mount", "-t", "overlay", "overlay", "-o", "lowerdir="+dir+",upperdir="+upper+",workdir="+work, dir)
	}
	run(t, "ip", "link", "set", "lo", "up")
	run(t, "ip", "link", "add", "uplink", "type", "bridge")
	run(t, "ip", "addr", "add", "192.0.2.11/24", "dev", "uplink")
	run(t, "ip", "link", "set", "uplink", "up")
}

func run(t *testing.T, argv ...string) {
	t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
}

func link(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(from, to); err != nil {
		t.Fatal(err)
	}
}

// process is a unit's process, without systemd.
type process struct {
	name string
	cmd  *exec.Cmd
	out  *safeBuffer
	done chan error
}

// launch starts what a unit's file says.
func launch(t *testing.T, name string) *process {
	t.Helper()
	unit, err := os.ReadFile(actions.UnitPath(actions.Service(name)))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(unit), "\\\n", " ")
	p := &process{name: name, out: &safeBuffer{}, done: make(chan error, 1)}
	env := os.Environ()
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "Environment":
			env = append(env, value)
		case "ExecStart":
			argv := strings.Fields(value)
			p.cmd = exec.Command(argv[0], argv[1:]...)
		}
	}
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() { p.cmd.Process.Kill() })
	return p
}

// ended is nil while the process runs.
func (p *process) ended() error {
	select {
	case err := <-p.done:
		p.done <- err
		return fmt.Errorf("%w", errors.Join(errors.New("exited"), err))
	default:
		return nil
	}
}

func (p *process) tail() string {
	text := p.out.String()
	return p.name + ": ..." + text[max(0, len(text)-4000):]
}

// here is this machine as a components.Machine, and its API server.
type here struct {
	t       *testing.T
	address netip.Addr
}

func (h *here) Name() string { return "m1" }

func (h *here) Run(ctx context.Context, argv []string, stdin io.Reader) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin = stdin
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, &components.ExitError{Argv: argv, Code: cmd.ProcessState.ExitCode(), Stderr: stderr.Bytes()}
	}
	return out, nil
}

func (h *here) ReadFile(_ context.Context, name string) ([]byte, error) { return os.ReadFile(name) }

func (h *here) WriteFile(_ context.Context, name string, mode fs.FileMode, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, data, mode)
}

func (h *here) Machine(string) (components.Machine, error) { return h, nil }
func (h *here) Bundle(context.Context, io.Writer, map[string]bool) error {
	return errors.ErrUnsupported
}
func (h *here) Turn(context.Context, handover.Parcel, string, map[string]bool) (components.Turn, error) {
	return components.Turn{}, errors.ErrUnsupported
}
func (h *here) Open(string) (io.ReadCloser, error)                    { return nil, errors.ErrUnsupported }
func (h *here) BundleFile(string) ([]byte, error)                     { return nil, errors.ErrUnsupported }
func (h *here) API(context.Context) (components.API, error)           { return h, nil }
func (h *here) APIOf(context.Context, string) (components.API, error) { return h, nil }
func (h *here) get(path string) string {
	out, err := h.Do(h.t.Context(), "GET", path, "", nil)
	if err != nil {
		return err.Error()
	}
	return string(out)
}

func (h *here) eventually(what string, holds func() bool) {
	h.t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("there is no %s", what)
		}
	}
}

func (h *here) Ready(ctx context.Context) error {
	_, err := h.Do(ctx, "GET", "/readyz", "", nil)
	return err
}

func (h *here) Do(ctx context.Context, method, path, contentType string, body []byte) ([]byte, error) {
	pair, err := tls.LoadX509KeyPair(components.PKI+"/admin.crt", components.PKI+"/admin.key")
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(components.PKI + "/cluster-ca.crt")
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+netip.AddrPortFrom(h.address, components.PortAPI).String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	// Until the rights are applied, the administrator is one of upstream's by birth.
	response, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	out, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode == http.StatusNotFound {
		return nil, fs.ErrNotExist
	}
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, response.Status, out)
	}
	return out, err
}

// Apply applies each document, and takes no field that the server does not know.
func (h *here) Apply(ctx context.Context, manifests []byte) error {
	documents, err := manifest.Split(manifests)
	if err != nil {
		return err
	}
	for _, d := range documents {
		path, _ := h.Path(ctx, d.Object)
		if _, err := h.Do(ctx, "PATCH", path+"?fieldManager=provision&force=true&fieldValidation=Strict", "application/apply-patch+yaml", d.Body); err != nil {
			return err
		}
	}
	return nil
}

func (h *here) ApplyAs(context.Context, string, string, []byte) error { return errors.ErrUnsupported }

// Path goes by the few kinds that there are.
func (h *here) Path(_ context.Context, o components.Object) (string, error) {
	plural := strings.ToLower(o.Kind) + "s"
	switch {
	case strings.HasSuffix(o.Kind, "Policy"):
		plural = strings.TrimSuffix(plural, "ys") + "ies"
	case strings.HasSuffix(o.Kind, "Class"):
		plural = strings.TrimSuffix(plural, "s") + "es"
	}
	path := "/apis/"
	if o.APIVersion == "v1" {
		path = "/api/"
	}
	path += o.APIVersion + "/"
	if o.Namespace != "" {
		path += "namespaces/" + o.Namespace + "/"
	}
	return path + plural + "/" + o.Name, nil
}
