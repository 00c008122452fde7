package removal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"provision/components"
)

// Remove takes everything of ours away from a machine.
type Remove struct {
	Agent string // path of the agent's binary, which goes last
	// Told gets the machine's report, also where things were left; may be nil.
	Told func(machine string, report Report) `json:"-"`
}

// Component is "removal".
func (Remove) Component() string { return "removal" }

func (Remove) String() string { return "stop everything of ours and take it away" }

// Touches is empty: it undoes the journal instead of adding to it.
func (Remove) Touches() []components.Touch { return nil }

// Clears says that the machine keeps no lock after this.
func (Remove) Clears() bool { return true }

// Apply has the agent do it in one go, so that a lost connection harms nothing.
func (a Remove) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	list, err := json.Marshal(Inventory())
	if err != nil {
		return err
	}
	out, err := on.Run(ctx, []string{a.Agent, "remove"}, bytes.NewReader(list))
	var report Report
	if parseErr := json.Unmarshal(out, &report); parseErr != nil {
		if err != nil {
			return err
		}
		return fmt.Errorf("agent remove: answer: %w", parseErr)
	}
	if a.Told != nil {
		a.Told(on.Name(), report)
	}
	if len(report.Residue) > 0 {
		more := ""
		if n := len(report.Residue) - 1; n > 0 {
			more = fmt.Sprintf(", and %d more", n)
		}
		return fmt.Errorf("not all could go: %s: %s%s", report.Residue[0].What, report.Residue[0].Why, more)
	}
	return err
}
