// Package balancer is a machine's TCP balancer over the masters' API servers.
//
// It looks at every server several times a second, closes the connections of
// one that died at once, and parks new connections for a moment while none is
// ready. It carries bytes; TLS stays between client and server. What it listens
// on and which servers there are is in its file, which it reads again when it
// changes; who writes the file is the provisioner's affair. Of servers that came
// since it learns from the cluster, and keeps what it learned.
package balancer

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"provision/components/agent/durable"
	"provision/components/balancer"
)

// maxFile bounds the configuration and the authorities' file, in bytes.
const maxFile = 1 << 20

// daemon is one running balancer.
type daemon struct {
	path    string // of the configuration
	log     *slog.Logger
	proxy   *proxy
	address func(netip.Addr) error // gives the machine an address
	every   time.Duration          // how often files and address are looked at

	listeners map[netip.AddrPort]*net.TCPListener
	serving   sync.WaitGroup

	ask         func(context.Context, balancer.Config) ([]netip.AddrPort, error)
	followEvery time.Duration
	heard       chan []netip.AddrPort // what the cluster said
	unfollow    func()                // ends what asks it; may be nil

	// As last applied.
	text, authority []byte
	config          balancer.Config
	look            checker
	kept            balancer.Kept    // what was learned; nothing: the file's servers it is
	held            []netip.AddrPort // the pool's
}

func newDaemon(path string, log *slog.Logger) *daemon {
	return &daemon{
		path: path, log: log, proxy: newProxy(newPool(log)), address: putOnLoopback, every: time.Second,
		listeners: map[netip.AddrPort]*net.TCPListener{},
		ask:       ask, followEvery: followEvery, heard: make(chan []netip.AddrPort),
	}
}

// run balances until the context ends; ready is called once it listens. Only
// the first reading of the files may fail: a later mistake is logged once, what
// works goes on, and it is tried again until it is mended.
func (d *daemon) run(ctx context.Context, ready func()) error {
	defer d.close()
	if err := d.reload(ctx); err != nil {
		return err
	}
	ready()
	ticker := time.NewTicker(d.every)
	defer ticker.Stop()
	problem := ""
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case servers := <-d.heard:
			err = d.learn(servers)
		case <-ticker.C:
			err = d.reload(ctx)
		}
		d.settle(ctx, false)
		if err == nil {
			err = errors.Join(d.keepAddress(d.config), d.float(ctx))
		}
		if err != nil && err.Error() != problem {
			d.log.Error("the balancer stays as it was", "why", err)
		}
		problem = fmt.Sprint(err)
	}
}

// reload applies the files where they changed.
func (d *daemon) reload(ctx context.Context) error {
	text, err := durable.Read(d.path, maxFile)
	if err != nil {
		return err
	}
	config := d.config
	if !bytes.Equal(text, d.text) {
		if config, err = balancer.Decode(text); err != nil {
			return fmt.Errorf("%s: %w", d.path, err)
		}
	}
	authority, err := durable.Read(config.CA, maxFile)
	if err != nil {
		return err
	}
	if bytes.Equal(text, d.text) && bytes.Equal(authority, d.authority) {
		return nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return fmt.Errorf("%s: no certificate", config.CA)
	}
	if err := d.keepAddress(config); err != nil {
		return err
	}
	if err := d.listen(ctx, config); err != nil {
		return err
	}
	afresh := config.Health != d.config.Health || !bytes.Equal(authority, d.authority)
	followed := d.unfollow != nil && config.Follow == d.config.Follow && config.CA == d.config.CA && slices.Equal(config.Listen, d.config.Listen)
	d.kept = d.recall(config)
	d.look = checker{time.Duration(config.Health.Interval), time.Duration(config.Health.Timeout), roots}
	d.text, d.authority, d.config = text, authority, config
	d.settle(ctx, afresh)
	if !followed {
		d.followAnew(ctx, config)
	}
	d.log.Info("listening", "on", config.Listen)
	return nil
}

// followAnew asks the cluster as the configuration says by now.
func (d *daemon) followAnew(ctx context.Context, config balancer.Config) {
	if d.unfollow != nil {
		d.unfollow()
		d.unfollow = nil
	}
	if config.Follow.Kept == "" {
		return
	}
	ctx, d.unfollow = context.WithCancel(ctx)
	d.serving.Go(func() { d.follow(ctx, config) })
}

func (d *daemon) keepAddress(config balancer.Config) error {
	if !config.NodeAddress.IsValid() {
		return nil
	}
	return d.address(config.NodeAddress)
}

func (d *daemon) watch(ctx context.Context, look checker, s *server) (stop func()) {
	ctx, stop = context.WithCancel(ctx)
	d.serving.Go(func() {
		look.watch(ctx, s.address, func(found verdict, why string) { d.proxy.pool.report(s, found, why) })
	})
	return stop
}

// listen opens what is new, and only then closes what is no longer wanted.
func (d *daemon) listen(ctx context.Context, config balancer.Config) error {
	opened := map[netip.AddrPort]*net.TCPListener{}
	for _, address := range config.Listen {
		if d.listeners[address] != nil || opened[address] != nil {
			continue
		}
		listener, err := listen(ctx, address)
		if err != nil {
			for _, other := range opened {
				other.Close()
			}
			return err
		}
		opened[address] = listener
	}
	for address, listener := range opened {
		d.listeners[address] = listener
		d.serving.Go(func() { d.proxy.serve(ctx, listener) })
	}
	for address, listener := range d.listeners {
		if address != config.Floating && !slices.Contains(config.Listen, address) {
			listener.Close()
			delete(d.listeners, address)
		}
	}
	return nil
}

// float listens at the floating address as well. Where somebody else does, a
// load balancer of the user's, the rest goes on, and it is tried again.
func (d *daemon) float(ctx context.Context) error {
	address := d.config.Floating
	if !address.IsValid() || d.listeners[address] != nil {
		return nil
	}
	listener, err := listen(ctx, address)
	if err != nil {
		return fmt.Errorf("the floating address: %w", err)
	}
	d.listeners[address] = listener
	d.serving.Go(func() { d.proxy.serve(ctx, listener) })
	return nil
}

// close stops listening and waits for what runs. Connections end with the
// context: their clients come back, to the next process.
func (d *daemon) close() {
	for _, listener := range d.listeners {
		listener.Close()
	}
	if d.unfollow != nil {
		d.unfollow()
	}
	d.proxy.pool.set(nil, false, nil)
	d.serving.Wait()
}
