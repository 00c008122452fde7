package verify

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strings"
	"time"

	"provision/components"
	"provision/components/wire"
	"provision/overlay"
	"provision/provisioner/mesh"
)

// sound is what an agent says whose packets arrive.
func (w *world) sound(node string) mesh.Seen {
	s := overlay.Status{Node: node, MTU: 1420, Updated: time.Now()}
	for _, other := range w.machines {
		if other != node {
			s.Peers = append(s.Peers, overlay.PeerStatus{Name: other, RoundTripMS: 0.3, PathMTU: 1420})
		}
	}
	return mesh.Seen{Status: s, Now: time.Now()}
}

func (w *world) sniff(ctx context.Context, node string, request wire.Request, ready func(), hold io.Reader) (wire.Report, error) {
	w.mu.Lock()
	w.sniffs = append(w.sniffs, request)
	w.mu.Unlock()
	ready()
	ended := make(chan struct{})
	go func() { io.Copy(io.Discard, hold); close(ended) }()
	select {
	case <-ended:
		return w.links(node)
	case <-ctx.Done():
		return wire.Report{}, context.Cause(ctx)
	}
}

// Exec is the probe, in a pod.
func (w *world) Exec(_ context.Context, _, name string, argv []string) (stdout, stderr []byte, err error) {
	w.mu.Lock()
	from := w.find(name)
	w.mu.Unlock()
	fail := func(text string) ([]byte, []byte, error) {
		return nil, []byte("probe: a warning\nprobe get: " + text + "\n"), errors.New("command terminated with exit code 1")
	}
	target := argv[len(argv)-1]
	if err := w.broken("", from.node, "exec"); err != nil {
		return nil, nil, err
	}
	switch {
	case argv[1] == "env":
		return nil, nil, nil
	case argv[1] == "exchange":
		w.mu.Lock()
		w.told = append(w.told, from.node+" "+strings.Join(argv[2:], " "))
		w.mu.Unlock()
		for _, address := range strings.Split(target, ",") {
			if _, err := w.answer(from.node, from.address, address); err != nil {
				return fail(address + ": udp: " + err.Error())
			}
		}
		return []byte("done\n"), nil, nil
	case argv[1] == "dns" && target == "kubernetes.default.svc.cluster.local":
		return []byte("10.96.0.1\n"), nil, nil
	case argv[1] == "dns" && target == "outside.example":
		return []byte("192.0.2.1\n"), nil, nil
	case argv[1] == "dns" && strings.HasPrefix(target, "all.") && argv[len(argv)-2] == six("10.96.0.10"):
		if err := w.broken(from.node, "", "IPv6"); err != nil {
			return fail(err.Error())
		}
		return []byte("10.96.0.20\n" + six("10.96.0.20") + "\n"), nil, nil
	case argv[1] == "dns":
		return fail("no such host")
	case argv[1] == "resolver":
		server := "cluster DNS"
		if argv[len(argv)-2] == "--server" {
			server = target
		}
		if err := w.egress(from.node, server); err != nil {
			return fail(err.Error())
		}
		return []byte("udp: NOERROR, 13 records\ntcp: NOERROR, 13 records\n"), nil, nil
	}
	u, _ := url.Parse(target)
	if u.Host == "outside.example:80" {
		return fail("1 of 1 requests went wrong, the last: status 404 Not Found")
	}
	got, err := w.answer(from.node, from.address, u.Host)
	if err != nil {
		return fail(err.Error())
	}
	if u.Path == "/echo-size" {
		return []byte("100000\n"), nil, nil
	}
	text, _ := json.Marshal(got)
	return text, nil, nil
}

func (w *world) ApplyAs(context.Context, string, string, []byte) error { return errors.ErrUnsupported }

func (w *world) Path(context.Context, components.Object) (string, error) {
	return "", errors.ErrUnsupported
}
