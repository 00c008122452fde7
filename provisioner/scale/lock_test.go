package scale

import (
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"sync"
)

// lease is what "agent lock" keeps on a machine, without time: nobody else comes.
type lease struct {
	mu         sync.Mutex
	owner      string
	reason     string
	generation uint64
	held       bool
}

func (l *lease) seen() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.generation
}

// command carries out a verb and returns its exit status.
func (l *lease) command(args []string, out io.Writer) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	number := func(name string) uint64 {
		n, _ := strconv.ParseUint(flag(args, name), 10, 64)
		return n
	}
	code := 0
	switch args[0] {
	case "acquire":
		l.generation = max(l.generation+1, number("--minimum-generation"))
		l.owner, l.reason, l.held = flag(args, "--owner"), flag(args, "--reason"), true
	case "renew":
	case "release":
		l.held = false
	case "check":
		if asked := number("--generation"); asked < l.generation {
			code = 75
		} else {
			l.generation = asked
		}
	}
	json.NewEncoder(out).Encode(map[string]any{"owner": l.owner, "reason": l.reason, "generation": l.generation, "held": l.held, "remaining_seconds": 60})
	return code
}

func flag(args []string, name string) string {
	if i := slices.Index(args, name); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}
