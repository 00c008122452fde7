// Package facts asks a machine what it is: one script on sh's standard input,
// one round trip, nothing changed and nothing needed there. What a machine says
// is bounded and checked here; what it means is the components' affair.
package facts

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"time"

	"provision/components"
	"provision/components/removal"
)

//go:embed look.sh
var script string

// Questions are what to look for besides what every look tells.
type Questions struct {
	Sysctls []string // dotted names
	Modules []string
	Files   []string // absolute paths outside our own folders
}

// Gather asks one machine. ClockSkew is measured against the middle of the
// round trip, so a slow connection blurs it by half its time at most.
func Gather(ctx context.Context, on components.Machine, ask Questions) (components.Facts, error) {
	argv := []string{"sh", "-s", "--",
		strings.Join(ask.Sysctls, " "), strings.Join(ask.Modules, " "), strings.Join(ask.Files, " "), strings.Join(removal.Inventory().Units, " ")}
	sent := time.Now()
	out, err := on.Run(ctx, argv, strings.NewReader(script))
	if err != nil {
		return components.Facts{}, fmt.Errorf("look: %w", err)
	}
	took := time.Since(sent)
	f, now, err := parse(out)
	if err != nil {
		return components.Facts{}, fmt.Errorf("look: %w", err)
	}
	// The script prints its clock first, so the answer lies near the start.
	f.ClockSkew = now.Sub(sent.Add(min(took/2, 50*time.Millisecond)))
	return f, nil
}
