// Command probe is what runs in the pods that verify and the tests start: a
// small HTTP and UDP server, clients for both and for DNS, and enough to look
// at files and volumes through exec without a shell.
//
// It exits 0 where what was asked worked, 1 where it did not, 64 on misuse.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// command runs with its arguments and writes what was asked for to out.
type command func(args []string, out io.Writer) error

var commands = map[string]command{
	"cat":      cat,
	"dns":      lookUp,
	"env":      env,
	"exchange": exchange,
	"get":      get,
	"ls":       ls,
	"refuse":   refuse,
	"resolver": askResolver,
	"serve":    serve,
	"sleep":    sleep,
	"udp-echo": udpEcho,
	"write":    write,
}

// errUsage is misuse that the flag package has not already explained.
var errUsage = errors.New("usage")

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		names := slices.Sorted(maps.Keys(commands))
		fmt.Fprintf(os.Stderr, "usage: probe %s ...\n", strings.Join(names, "|"))
		os.Exit(64)
	}
	err := commands[os.Args[1]](os.Args[2:], os.Stdout)
	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "probe %s: %v\n", os.Args[1], err)
		os.Exit(64)
	default:
		fmt.Fprintf(os.Stderr, "probe %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// parse reads flags before, between and after exactly n other arguments.
func parse(flags *flag.FlagSet, args []string, n int) ([]string, error) {
	flags.SetOutput(io.Discard)
	var rest []string
	for {
		if err := flags.Parse(args); err != nil {
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		if flags.NArg() == 0 {
			break
		}
		rest = append(rest, flags.Arg(0))
		args = flags.Args()[1:]
	}
	if len(rest) != n {
		return nil, fmt.Errorf("%w: %d arguments and not %d", errUsage, len(rest), n)
	}
	return rest, nil
}
