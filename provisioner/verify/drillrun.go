package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// outage is a harm that can be begun and ended.
type outage struct {
	arm    func(ctx context.Context) error // nothing is harmed before it worked
	strike func(ctx context.Context) error
	// end undoes it, or says nothing where the machines do so themselves.
	end func(ctx context.Context) error
	// over is when they do so; zero: they do not. mute: they do not answer till then.
	over func() time.Time
	mute bool
	// left says what is still there of it when all is over.
	left func(ctx context.Context) error
}

// outage prepares the harm, and harms nothing yet.
func (d *drill) outage(ctx context.Context) (outage, error) {
	if d.byPower() {
		each := func(do func(ctx context.Context, machine string) error) func(context.Context) error {
			return func(ctx context.Context) error {
				ctx, cancel := context.WithTimeout(ctx, switchPatience)
				defer cancel()
				var group errgroup.Group
				for _, m := range d.victims {
					group.Go(func() error { return do(ctx, m.Name) })
				}
				return group.Wait()
			}
		}
		return outage{
			arm:    func(context.Context) error { return nil },
			strike: each(d.options.Power.Off), end: each(d.options.Power.On),
			over: func() time.Time { return time.Time{} }, left: func(context.Context) error { return nil },
		}, nil
	}
	faults, err := d.faults(ctx)
	if err != nil {
		return outage{}, err
	}
	s := &deadMan{faults: faults, hold: d.options.Hold}
	return outage{arm: s.arm, strike: s.strike, end: s.undo, over: s.over, mute: faults[0].mute, left: s.nothingLeft}, nil
}

// run harms and measures.
func (d *drill) run(ctx context.Context, result *Drill) (err error) {
	harm, err := d.outage(ctx)
	if err != nil {
		return err
	}
	client := ask(ctx, func(ctx context.Context) (string, error) {
		got, err := fetchGreeting(ctx, d.observer, d.target, askTimeout)
		return got.Pod, err
	})
	defer client.finish()
	ways := d.allWays()
	for _, w := range ways {
		w.begin(ctx)
		defer w.finish()
	}
	if err := until(ctx, steadyPatience, func() bool { return client.steady(time.Second) }); err != nil {
		return fmt.Errorf("before anything was harmed, requests to the Service from %s were not all answered: %w", d.observer.Name, err)
	}
	for _, w := range ways {
		if err := until(ctx, steadyPatience, func() bool { return w.steady(time.Second) }); err != nil {
			return fmt.Errorf("before anything was harmed, the API did not answer all from %s: %w", w.name, err)
		}
	}
	// What was so when it was asked for may not be so any more.
	if leader, err := d.well(ctx); err != nil {
		return err
	} else if d.kind.leads() && leader.Name != d.victims[0].Name {
		return fmt.Errorf("etcd is led by %s by now, not by %s: run the drill again", leader.Name, d.victims[0].Name)
	}

	t := newTracker(d, func(m Moment) {
		result.Timeline = append(result.Timeline, m)
		if d.options.Tell != nil {
			d.options.Tell(m)
		}
	})
	begin, end := d.words()
	ended := false
	restore := func() error {
		if ended {
			return nil
		}
		ended = true
		t.on = t.moment(time.Now(), end)
		return harm.end(context.WithoutCancel(ctx))
	}
	defer func() { err = errors.Join(err, restore()) }()
	if t.life != nil {
		t.life.before = t.life.numbers(ctx)
	}
	if err := harm.arm(ctx); err != nil {
		return err
	}
	t.begin = time.Now()
	t.tell(Moment{0, begin})
	if err := harm.strike(ctx); err != nil {
		return err
	}
	if d.kind.leads() {
		t.heir = follow(ctx, masters(d.others))
		defer t.heir.finish()
	}

	patience := d.options.Patience
	if patience == 0 {
		patience = 7 * time.Minute
	}
	over := harm.over()
	if !over.IsZero() {
		patience = min(patience, time.Until(over))
	}
	waited := d.watch(ctx, t, client, patience, func() bool { return t.madeUp(ctx) })
	if harm.mute && waited == nil {
		waited = d.watch(ctx, t, client, time.Until(over)+time.Second, func() bool { return !time.Now().Before(over) })
	}
	if err := errors.Join(context.Cause(ctx), restore()); err != nil {
		return errors.Join(waited, err)
	}
	back := d.watch(ctx, t, client, rejoinPatience, func() bool { return t.returned(ctx) })
	now := time.Now()
	seen := look(client.since(t.begin), t.begin, now)
	result.Spans = t.spans(client, now)
	left := harm.left(ctx)
	result.Measures = append(t.measures(seen), d.ofTheAPI(t, now)...)
	lost, lostErr := d.lost(ctx)
	result.Measures = append(result.Measures, lost...)
	wrong := wrongOf(result.Measures)
	result.Passed = waited == nil && back == nil && left == nil && wrong == nil && lostErr == nil
	return errors.Join(waited, back, left, lostErr, wrong)
}

// watch samples until done says so.
func (d *drill) watch(ctx context.Context, t *tracker, client *requests, patience time.Duration, done func() bool) error {
	var last error
	err := until(ctx, patience, func() bool {
		s, err := take(ctx, d.cluster, d.namespace)
		if last = err; err == nil {
			t.see(s, client.since(t.begin))
		}
		return done()
	})
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w; reached: %s", names(d.victims), err, t.reached()), last)
	}
	return nil
}

// until calls done again and again until it says true.
func until(ctx context.Context, patience time.Duration, done func() bool) error {
	timeout := time.After(patience)
	for !done() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timeout:
			return fmt.Errorf("gave up after %v", patience.Round(time.Second))
		case <-time.After(sampleEvery):
		}
	}
	return nil
}
