package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"provision/provisioner/config"
	"provision/provisioner/ssh"
	"provision/provisioner/view"
)

// watchPatience bounds one look of a watch at a machine or the API: who died is
// shown so, and is not waited for.
const watchPatience = 5 * time.Second

// watch shows the status again and again until ctx ends. Its exit status is the
// last look's.
func (a *app) watch(ctx context.Context, path string, every time.Duration) error {
	s, err := a.openWithout(ctx, path)
	if err != nil {
		return err
	}
	defer s.close()
	s.patience = watchPatience
	lost := redial{s: s, under: map[string]bool{}, got: make(chan redialed, len(s.file.Machines))}
	screen := a.printer().Screen()
	defer screen.Close()
	for {
		now := time.Now()
		doc, err := s.status(ctx)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			doc.API, doc.Problem = false, err.Error()
		}
		a.watched, a.healthy = true, doc.healthy()
		if a.json {
			err = a.printer().DocumentLine(doc)
		} else {
			var text bytes.Buffer
			fmt.Fprintf(&text, "%s, every %s\n\n", now.Format(time.DateTime), every)
			if err = doc.show(view.New(&text, &text, false)); err == nil {
				err = screen.Show(text.String())
			}
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(now.Add(every))):
		}
		lost.round(ctx)
	}
	switch {
	case !a.watched:
		return context.Cause(ctx)
	case !a.healthy:
		return status(exitFailed)
	}
	return nil
}

// redial connects again to machines that were lost, beside the looks.
type redial struct {
	s     *session
	under map[string]bool // way
	got   chan redialed
}

type redialed struct {
	name   string
	client *ssh.Client
	err    error
}

// round takes in who has answered since the last one, and tries the others. No
// look is under way meanwhile.
func (r *redial) round(ctx context.Context) {
	for range len(r.got) {
		got := <-r.got
		delete(r.under, got.name)
		if got.err != nil {
			r.s.unreach[got.name] = got.err
			continue
		}
		r.s.replace(got.name, got.client)
	}
	dialer := r.s.app.dialer()
	for name := range r.s.unreach {
		if r.under[name] {
			continue
		}
		i := slices.IndexFunc(r.s.file.Machines, func(m config.Machine) bool { return m.Name == name })
		if i < 0 {
			continue
		}
		r.under[name] = true
		go func() {
			client, err := dialer.Dial(ctx, target(r.s.file.Machines[i]))
			r.got <- redialed{name, client, err}
		}()
	}
}

// replace takes a new connection to a machine in the place of one that was lost.
func (s *session) replace(name string, client *ssh.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if own := s.own[name]; own != nil {
		own.Close()
		delete(s.own, name)
	}
	if old := s.clients[name]; old != nil {
		old.Close()
	}
	s.clients[name] = client
	delete(s.unreach, name)
}

// bounded gives a look of a watch its time; others have what they need.
func (s *session) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.patience == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, s.patience, errors.New("gave no answer within "+s.patience.String()))
}
