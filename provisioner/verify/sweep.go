package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stale is the age from which a namespace's verify cannot be at work any more,
// wherever it ran.
const stale = 15 * time.Minute

// owner names this process, so that the next verify can tell a namespace that
// was left behind from one in use: host, process id, and where /proc tells it
// the process's start, since ids are used again.
func owner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	_, start := process(os.Getpid())
	return host + "/" + strconv.Itoa(os.Getpid()) + "/" + start
}

// alive says whether an owner may still be at work: on this computer that is
// known, of another one it is supposed.
func alive(who string) bool {
	host, rest, _ := strings.Cut(who, "/")
	if here, err := os.Hostname(); err != nil || host != here {
		return true
	}
	text, start, _ := strings.Cut(rest, "/")
	id, err := strconv.Atoi(text)
	if err != nil || id <= 0 {
		return false
	}
	found, err := os.FindProcess(id)
	if err != nil {
		return false
	}
	if err := found.Signal(syscall.Signal(0)); err != nil && !errors.Is(err, syscall.EPERM) {
		return false
	}
	state, now := process(id)
	return state != "Z" && now == start
}

// process returns a process's state and the time of its start from /proc, empty
// where there is no such thing.
func process(id int) (state, start string) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id))
	if err != nil {
		return "", ""
	}
	// The name, in parentheses, may hold anything.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 20 {
		return "", ""
	}
	return fields[0], fields[19]
}

// sweep takes away what a killed verify left behind. It does not wait for it to
// be gone.
func sweep(ctx context.Context, cluster Cluster) error {
	var list struct {
		Items []struct {
			Metadata struct {
				Name              string
				CreationTimestamp time.Time
				DeletionTimestamp *time.Time
				Annotations       map[string]string
			}
		}
	}
	if err := get(ctx, cluster, "/api/v1/namespaces?labelSelector=provision.internal/verify%3Dtrue", &list); err != nil {
		return fmt.Errorf("look for what an earlier verify left: %w", err)
	}
	for _, item := range list.Items {
		m := item.Metadata
		if m.DeletionTimestamp != nil || !strings.HasPrefix(m.Name, "provision-verify-") {
			continue
		}
		if time.Since(m.CreationTimestamp) < stale && alive(m.Annotations["provision.internal/owner"]) {
			continue
		}
		if _, err := cluster.Do(ctx, "DELETE", "/api/v1/namespaces/"+m.Name, "", nil); err != nil {
			return fmt.Errorf("take away what an earlier verify left: %w", err)
		}
	}
	return nil
}
