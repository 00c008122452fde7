package run

import (
	"context"
	"io"
	"sync"
	"time"

	"provision/components"
)

// Sizer is a Site that knows how many bytes Bundle will write.
type Sizer interface {
	BundleSize(have map[string]bool) int64
}

// meter is a Site that tells how far an upload is.
type meter struct {
	components.Site
	tell func(done, total int64)
}

// Unwrap is the site that is metered, which may be more than a components.Site.
func (m meter) Unwrap() components.Site { return m.Site }

// Bundle is the site's own, counted.
func (m meter) Bundle(ctx context.Context, w io.Writer, have map[string]bool) error {
	var total int64
	if s, ok := m.Site.(Sizer); ok {
		total = s.BundleSize(have)
	}
	c := &counter{w: w, total: total, tell: m.tell}
	err := m.Site.Bundle(ctx, c, have)
	c.end()
	return err
}

// often is how frequently an upload is told of, at most.
const often = 200 * time.Millisecond

// counter counts what is written through it.
type counter struct {
	w    io.Writer
	tell func(done, total int64)

	mu          sync.Mutex
	done, total int64
	told        time.Time
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done += int64(n)
	if now := time.Now(); now.Sub(c.told) >= often {
		c.told = now
		c.tell(c.done, c.total)
	}
	return n, err
}

// end tells of the last bytes as well, so that the sums are right.
func (c *counter) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tell(c.done, c.total)
}
