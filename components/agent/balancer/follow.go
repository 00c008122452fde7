package balancer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"provision/components/agent/durable"
	"provision/components/balancer"
)

// followEvery is how often the cluster is asked for its masters, give or take a
// third so that the machines do not ask together; askWithin bounds one answer.
const (
	followEvery = 30 * time.Second
	askWithin   = 10 * time.Second
)

// follow asks until the context ends. A cluster that does not answer changes nothing.
func (d *daemon) follow(ctx context.Context, config balancer.Config) {
	problem := ""
	for wait := d.followEvery / 10; ; wait = d.followEvery {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait*2/3 + time.Duration(rand.Int64N(int64(wait)*2/3+1))):
		}
		servers, err := d.ask(ctx, config)
		if err == nil {
			select {
			case d.heard <- servers:
			case <-ctx.Done():
			}
		} else if err.Error() != problem && ctx.Err() == nil {
			d.log.Warn("the list of masters stays as it was", "why", err)
		}
		problem = fmt.Sprint(err)
	}
}

// ask asks the cluster, through the balancer's own door, which masters there are.
// Files are read each time: certificates are renewed.
func ask(ctx context.Context, config balancer.Config) ([]netip.AddrPort, error) {
	pair, err := tls.LoadX509KeyPair(config.Follow.Certificate, config.Follow.Key)
	if err != nil {
		return nil, err
	}
	authority, err := durable.Read(config.CA, maxFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	client := &http.Client{Timeout: askWithin, Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true, // the next question may be another server's to answer
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+config.Listen[0].String()+balancer.SlicesPath, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errors.New("the API server says " + response.Status)
	}
	text, err := durable.ReadAll(response.Body, maxFile)
	if err != nil {
		return nil, err
	}
	servers, err := balancer.Learned(text)
	if err != nil {
		return nil, fmt.Errorf("the cluster's list of masters: %w", err)
	}
	return servers, nil
}

// learn takes over a list of the cluster's, and keeps it for the next start.
func (d *daemon) learn(servers []netip.AddrPort) error {
	if slices.Equal(servers, d.kept.Servers) {
		return nil
	}
	// Masters come and go one by one. A list without any that is known is another cluster's,
	// a copy of this one perhaps, while those that are known serve.
	known := slices.ContainsFunc(servers, func(s netip.AddrPort) bool { return slices.Contains(d.held, s) })
	if !known && d.proxy.pool.serves(d.held) {
		return fmt.Errorf("the cluster's list of masters has none of those that serve: %v", servers)
	}
	d.log.Info("the cluster's masters are others", "were", d.wanted(), "are", servers)
	d.kept = balancer.Kept{Configured: d.config.Servers, Servers: servers}
	text, err := json.Marshal(d.kept)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(d.config.Follow.Kept), 0o755); err != nil {
		return err
	}
	return durable.Replace(d.config.Follow.Kept, 0o644, text)
}

// recall reads what was learned before. What cannot be read is as good as nothing.
func (d *daemon) recall(config balancer.Config) balancer.Kept {
	if config.Follow.Kept == "" {
		return balancer.Kept{}
	}
	text, err := durable.Read(config.Follow.Kept, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return balancer.Kept{}
	}
	var kept balancer.Kept
	if err == nil {
		kept, err = balancer.DecodeKept(text)
	}
	if err != nil {
		d.log.Warn("what was learned of masters is lost", "why", err)
		return balancer.Kept{}
	}
	if !slices.Equal(kept.Configured, config.Servers) {
		return balancer.Kept{} // the file was written since
	}
	return kept
}

// wanted are the servers as last heard.
func (d *daemon) wanted() []netip.AddrPort {
	if len(d.kept.Servers) > 0 {
		return d.kept.Servers
	}
	return d.config.Servers
}

// settle has the pool hold the wanted servers. Those of before stay beside them
// until one of the wanted serves: no list, wrong or hostile, takes away the last
// server that works.
func (d *daemon) settle(ctx context.Context, afresh bool) {
	servers := d.wanted()
	if !d.proxy.pool.serves(servers) {
		for _, former := range slices.Concat(d.held, d.config.Servers) {
			if !slices.Contains(servers, former) {
				servers = append(slices.Clip(servers), former)
			}
		}
	}
	if !afresh && slices.Equal(servers, d.held) {
		return
	}
	look := d.look
	d.proxy.pool.set(servers, afresh, func(s *server) func() { return d.watch(ctx, look, s) })
	d.held = servers
	d.log.Info("balancing", "servers", servers)
}
