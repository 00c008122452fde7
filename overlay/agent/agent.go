// Package agent binds the overlay together: it learns of nodes, admits them,
// and makes the machine's kernel what it should be, again and again.
//
// Nothing in the data path depends on it. While it is away, everything it wrote
// stays; when the API is away, it holds what was last admitted.
package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"provision/overlay"
	"provision/overlay/device"
	"provision/overlay/host"
	"provision/overlay/nodes"
	"provision/overlay/ping"
	"provision/overlay/rules"
	"provision/overlay/state"
)

// How often the kernel is compared with what it should be, where no event says
// so earlier: at rest, and while something could not be done.
const (
	calm   = 4 * time.Second
	uneasy = time.Second
	glance = 200 * time.Millisecond // at the keys, for one that takes over

	// How soon after an event: at once where it may be of ours, later where a pod
	// starts, and never more often than the latter.
	atOnce = 5 * time.Millisecond
	quiet  = 200 * time.Millisecond
)

// source is where nodes come from.
type source interface {
	Run(ctx context.Context)
	Changed() <-chan struct{}
	Nodes() (nodes []overlay.Node, ok bool)
	Trouble() string
	Announce(ctx context.Context, node string, a overlay.Announcement) error
}

type agent struct {
	config overlay.Config
	log    *slog.Logger
	source source
	dir    state.Dir
	key    overlay.PrivateKey
	public overlay.Key
	next   overlay.Key // takes over soon; zero: there is none
	keyed  time.Time   // when the folder of the keys last changed
	psk    overlay.PresharedKey
	shared time.Time    // when the pre-shared key's file last changed
	mode   overlay.Mode // "" until the kernel could be asked
	device *device.Device
	heard  []overlay.DevicePeer // what the device last said

	mesh     overlay.Mesh
	refused  []string // what the last admission said
	known    []string // the problems told last
	underlay int      // bytes; 0: not known yet
	ports    host.Ports
	pinger   *ping.Pinger
	metrics  metrics

	announced chan error // the result of the announcement under way; nil: none is
	trouble   error      // of the last announcement
	said      string     // what was announced last
	agreed    bool       // the Node says the same

	unshared  error    // why the pre-shared key cannot be read again
	unkeyed   error    // why the machine's own keys cannot be
	strangers []string // see rules.Strangers
	looked    time.Time
	stirred   bool                   // somebody's firewall changed since
	laid      map[string][]time.Time // when routes that took pods' packets were removed
}

// Run keeps the overlay until the context ends, and leaves it in place.
func Run(ctx context.Context, config overlay.Config, log *slog.Logger) error {
	a := &agent{config: config, log: log, device: device.New(), pinger: ping.New()}
	var err error
	if a.dir, err = state.Open(config.StateDir); err != nil {
		return err
	}
	folders := []string{config.RunDir}
	if config.CNIConf != "" {
		folders = append(folders, filepath.Dir(config.CNIConf))
	}
	for _, name := range folders {
		if err := os.MkdirAll(name, 0o755); err != nil {
			return err
		}
	}
	if _, err := a.loadKeys(); err != nil {
		return err
	}
	if a.psk, err = state.PresharedKey(config.PresharedKeyFile); err != nil {
		return err
	}
	a.loadPorts()
	if a.mesh, err = a.dir.LoadMesh(); err != nil {
		// Kept aside by nobody: what the API says replaces it. Until then there is
		// no network, which is better than a wrong one.
		log.Error("starting without the last mesh", "error", err)
		a.mesh = overlay.Mesh{Version: overlay.MeshVersion}
	}
	if config.StaticNodes != "" {
		a.source = nodes.NewStatic(config.StaticNodes, config.RunDir)
	} else {
		a.source = nodes.NewKubernetes(config.Kubeconfig, config.NodeKubeconfig)
	}
	return a.run(ctx)
}

func (a *agent) run(ctx context.Context) error {
	urgent, other := host.Events(ctx)
	table, firewalls := rules.Events(ctx)
	next := a.heal()
	a.log.Info("the overlay is as it was last", "mode", a.mode, "subnets", a.mesh.Subnets, "peers", len(a.mesh.Peers))
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		a.log.Warn("systemd cannot be told that this is ready", "error", err)
	}
	go a.source.Run(ctx)
	go a.pinger.Run(ctx)
	defer a.metrics.close()
	healed := time.Now()
	due := healed.Add(next)
	timer := time.NewTimer(next)
	defer timer.Stop()
	heal := func() {
		next := a.heal()
		healed = time.Now()
		due = healed.Add(next)
		timer.Reset(next)
	}
	// sooner has it look before it is due, which is not as often as others write.
	sooner := func(wait time.Duration) {
		if d := max(wait, time.Until(healed.Add(a.pace()))); time.Until(due) > d {
			due = time.Now().Add(d)
			timer.Reset(d)
		}
	}
	keys := time.NewTicker(glance)
	defer keys.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.source.Changed():
			changed := a.admit()
			a.announce(ctx)
			if !changed {
				continue
			}
		case a.trouble = <-a.announced:
			a.announced = nil
		case <-keys.C:
			before := a.unkeyed
			var changed bool
			changed, a.unkeyed = a.loadKeys()
			news := (before == nil) != (a.unkeyed == nil)
			if (a.loadPresharedKey() || news) && !changed {
				break // healing is all that follows
			}
			if !changed {
				a.follow()
				continue
			}
			a.admit()
			heal() // the device first: it begins the handshakes
			a.announce(ctx)
		case <-urgent:
			sooner(atOnce)
			continue
		case <-table:
			sooner(atOnce)
			continue
		case <-firewalls:
			a.stirred = true
			sooner(quiet)
			continue
		case <-other:
			sooner(quiet)
			continue
		case <-timer.C:
			a.announce(ctx)
		}
		heal()
	}
}

// admit weighs what the source says. It reports whether anything followed.
func (a *agent) admit() (changed bool) {
	list, ok := a.source.Nodes()
	if !ok {
		return false
	}
	mesh, refused := overlay.Admit(a.config, a.public, a.mesh, list)
	changed = !slices.Equal(refused, a.refused)
	a.refused = refused
	if reflect.DeepEqual(mesh, a.mesh) {
		return changed
	}
	for _, p := range mesh.Peers {
		if !slices.ContainsFunc(a.mesh.Peers, func(o overlay.Peer) bool { return reflect.DeepEqual(o, p) }) {
			a.log.Info("peer admitted", "node", p.Name, "endpoint", p.Endpoint, "subnets", p.Subnets)
		}
	}
	for _, p := range a.mesh.Peers {
		if !slices.ContainsFunc(mesh.Peers, func(o overlay.Peer) bool { return o.UID == p.UID }) {
			a.log.Info("peer removed: its Node was deleted", "node", p.Name, "uid", p.UID)
		}
	}
	if !slices.Equal(mesh.Subnets, a.mesh.Subnets) {
		a.log.Info("this machine's pods", "subnets", mesh.Subnets)
	}
	a.mesh = mesh
	// Before it is applied: the userspace daemon and a reboot begin with the file,
	// and what was admitted is true whether or not the kernel has it yet.
	if err := a.dir.SaveMesh(mesh); err != nil {
		a.log.Error("the mesh is not kept over a reboot", "error", err)
	}
	return true
}

// announce writes this machine's announcement on its Node where it differs,
// beside the loop: the API may take its time.
func (a *agent) announce(ctx context.Context) {
	list, ok := a.source.Nodes()
	if !ok || a.mode == "" || a.announced != nil {
		return
	}
	i := slices.IndexFunc(list, func(n overlay.Node) bool { return n.Name == a.config.Node })
	want := overlay.Announce(a.config, a.public, a.next, a.mode)
	a.agreed = i >= 0 && list[i].Announcement == want.Text()
	if i < 0 || a.agreed {
		a.trouble = nil
		return
	}
	if text := want.Text(); text != a.said {
		a.log.Info("announcing this machine", "announcement", text)
		a.said = text
	}
	result := make(chan error, 1)
	a.announced = result
	go func() {
		err := a.source.Announce(ctx, a.config.Node, want)
		if err != nil {
			err = fmt.Errorf("announce this machine on its Node: %w", err)
		}
		result <- err
	}()
}
