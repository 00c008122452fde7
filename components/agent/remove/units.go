package remove

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"provision/components"
	"provision/components/removal"
)

// stopFor is how long units may take to be down.
const stopFor = 30 * time.Second

// stopUnits stops our units, hard: their data is about to be deleted, so there
// is nothing to say goodbye to, and a graceful API server takes a minute. The
// stop jobs come first: while one is queued, systemd does not restart what dies.
func (r *remover) stopUnits(ctx context.Context, things []removal.Things) {
	defer r.stopSlices(ctx, things)
	running, err := r.running(ctx)
	if err != nil {
		if r.anyUnitFile() {
			r.residue("units", err)
		}
		return // no systemd, and nothing of ours that it could run
	}
	if len(running) == 0 {
		return
	}
	stopped := running
	// Its error is of one unit among many; what counts is looked at below.
	r.run(ctx, append([]string{"systemctl", "stop", "--no-block"}, running...)...)
	for end := time.Now().Add(stopFor); len(running) > 0 && time.Now().Before(end) && ctx.Err() == nil; {
		if services := ofType(running, ".service"); len(services) > 0 {
			r.run(ctx, append([]string{"systemctl", "kill", "--signal=SIGKILL"}, services...)...)
		}
		for _, t := range things {
			r.killOnce(t.Cgroups)
		}
		sleep(ctx, 100*time.Millisecond)
		if running, err = r.running(ctx); err != nil {
			r.residue("units", err)
			return
		}
	}
	for _, unit := range running {
		r.residue("unit "+unit, fmt.Errorf("still running after %s", stopFor))
	}
	for _, unit := range stopped {
		if !slices.Contains(running, unit) {
			r.removed("running unit %s", unit)
		}
	}
	r.run(ctx, append([]string{"systemctl", "reset-failed"}, r.list.Units...)...)
}

// stopSlices has systemd forget the slices that runc asked it for: they stay,
// empty, after their pods.
func (r *remover) stopSlices(ctx context.Context, things []removal.Things) {
	for _, t := range things {
		for _, slice := range ofType(t.Cgroups, ".slice") {
			if !slices.Contains(r.list.Units, slice) && len(r.groups([]string{slice})) > 0 {
				r.killAll(ctx, []string{slice})
				r.run(ctx, "systemctl", "stop", slice)
			}
		}
	}
}

// running returns those of our units that are neither inactive nor failed.
func (r *remover) running(ctx context.Context) ([]string, error) {
	out, err := r.run(ctx, append([]string{"systemctl", "show", "--property=Id,ActiveState"}, r.list.Units...)...)
	if err != nil {
		return nil, err
	}
	var running []string
	for block := range strings.SplitSeq(string(out), "\n\n") {
		id, state := "", ""
		for line := range strings.SplitSeq(block, "\n") {
			if value, ok := strings.CutPrefix(line, "Id="); ok {
				id = value
			}
			if value, ok := strings.CutPrefix(line, "ActiveState="); ok {
				state = value
			}
		}
		if slices.Contains(r.list.Units, id) && state != "inactive" && state != "failed" {
			running = append(running, id)
		}
	}
	return running, nil
}

func ofType(units []string, suffix string) []string {
	return slices.DeleteFunc(slices.Clone(units), func(unit string) bool { return !strings.HasSuffix(unit, suffix) })
}

func (r *remover) anyUnitFile() bool {
	return slices.ContainsFunc(r.list.Units, func(unit string) bool {
		_, err := os.Lstat(filepath.Join(r.at(components.Units), unit))
		return err == nil
	})
}

// removeUnitFiles deletes our unit files and the links by which they are
// enabled, and has systemd forget them.
func (r *remover) removeUnitFiles(ctx context.Context) {
	changed := false
	for _, unit := range r.list.Units {
		links, err := filepath.Glob(filepath.Join(r.at(components.Units), "*.[wr]*", unit)) // .wants, .requires
		r.residue("unit "+unit, err)
		for _, path := range append(links, filepath.Join(r.at(components.Units), unit)) {
			err := os.Remove(path)
			if gone(err) {
				continue
			}
			r.residue("unit "+unit, err)
			changed = true
			if err == nil && !slices.Contains(links, path) {
				r.removed("unit %s", unit)
			}
		}
	}
	// The folders of links are ours where they are named after our units.
	for _, unit := range r.list.Units {
		for _, kind := range []string{".wants", ".requires"} {
			os.Remove(filepath.Join(r.at(components.Units), unit+kind)) // only where empty
		}
		dropins := filepath.Join(r.at(components.Units), unit+".d")
		if _, err := os.Lstat(dropins); err == nil {
			r.kept("folder "+strings.TrimPrefix(dropins, strings.TrimSuffix(r.root, "/")), "somebody's settings for a unit of ours")
		}
	}
	if changed {
		_, err := r.run(ctx, "systemctl", "daemon-reload")
		if exit := (*components.ExitError)(nil); errors.As(err, &exit) {
			r.residue("systemd", err)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
