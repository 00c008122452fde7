package lock

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"provision/components/agent/durable"
)

const (
	leaseFile      = "lease.json"
	generationFile = "generation" // decimal text; provisioner/facts and run read it
	lockFile       = "lock"
	reserveFile    = "reserve" // room on the disk for the two others
	maxFile        = 64 << 10
)

// folder is where the lease and the generation are kept.
type folder string

// update reads the state, lets decide change it, and writes what changed, all
// under one flock. It returns the state as it is on disk afterwards.
func (f folder) update(decide func(state, clock) (state, error)) (state, clock, error) {
	if err := os.MkdirAll(string(f), 0o755); err != nil {
		return state{}, clock{}, err
	}
	guard, err := os.OpenFile(filepath.Join(string(f), lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return state{}, clock{}, err
	}
	defer guard.Close()
	if err := unix.Flock(int(guard.Fd()), unix.LOCK_EX); err != nil {
		return state{}, clock{}, fmt.Errorf("flock %s: %w", guard.Name(), err)
	}
	if err := durable.Sweep(string(f)); err != nil {
		return state{}, clock{}, err
	}
	at, err := bootClock()
	if err != nil {
		return state{}, clock{}, err
	}
	before, err := f.load()
	if err != nil {
		return state{}, at, err
	}
	after, err := decide(before, at)
	if err != nil {
		return before, at, err
	}
	return after, at, f.save(before, after)
}

func (f folder) load() (state, error) {
	var s state
	text, err := durable.Read(filepath.Join(string(f), generationFile), maxFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	if err == nil {
		if s.generation, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err != nil {
			return s, fmt.Errorf("%s: not a generation", generationFile)
		}
	}
	text, err = durable.Read(filepath.Join(string(f), leaseFile), maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s.lease); err != nil {
		return s, fmt.Errorf("%s: %w", leaseFile, err)
	}
	s.generation = max(s.generation, s.lease.Generation)
	return s, nil
}

// save writes what changed. On a full disk it uses the reserve: a cluster must be
// taken away from there, which needs the lock and makes room.
func (f folder) save(before, after state) error {
	if after == before {
		return nil
	}
	err := f.write(before, after)
	if (errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)) && os.Remove(f.reserve()) == nil {
		err = f.write(before, after)
	}
	f.keepReserve()
	return err
}

func (f folder) reserve() string { return filepath.Join(string(f), reserveFile) }

// keepReserve makes the reserve where there is none, and a smaller one where there
// is not room enough. That a machine has none is not worth failing for. What is
// in it is noise, which no file system can store in less room.
func (f folder) keepReserve() {
	if _, err := os.Lstat(f.reserve()); err == nil {
		return
	}
	for size := 64 << 10; size > 0; size -= 4 << 10 {
		noise := make([]byte, size)
		rand.Read(noise)
		if durable.Replace(f.reserve(), 0o600, noise) == nil {
			return
		}
	}
}

// write writes the generation first: a kill in between leaves a generation that
// nobody holds, never a lease with one that could be given twice.
func (f folder) write(before, after state) error {
	if after.generation != before.generation {
		text := strconv.FormatUint(after.generation, 10) + "\n"
		if err := durable.Replace(filepath.Join(string(f), generationFile), 0o644, []byte(text)); err != nil {
			return err
		}
	}
	switch name := filepath.Join(string(f), leaseFile); {
	case after.lease == before.lease:
		return nil
	case after.lease == Lease{}:
		return os.Remove(name)
	default:
		text, err := json.Marshal(after.lease)
		if err != nil {
			return err
		}
		return durable.Replace(name, 0o644, append(text, '\n'))
	}
}

func bootClock() (clock, error) {
	boot, err := durable.Read("/proc/sys/kernel/random/boot_id", maxFile)
	if err != nil {
		return clock{}, err
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return clock{}, fmt.Errorf("boot clock: %w", err)
	}
	return clock{boot: strings.TrimSpace(string(boot)), now: time.Duration(now.Nano())}, nil
}
