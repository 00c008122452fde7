// Package sniff is `agent sniff`: it looks at what passes on the machine's own
// links for a short while, and counts. It writes no file, keeps no packet, and
// gives root up before it looks at the first one.
//
// What is looked for, and what to make of the numbers, is provisioner/verify's.
package sniff

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"provision/components/wire"
)

// NewCommand returns "agent sniff".
func NewCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sniff",
		Short: "Count the packets on this machine's links, and those that hold a text",
		Long: `Read one line of JSON from stdin, {"marker":"...","port":51820}, say "ready", and look at
what passes on the machine's links, without the overlay's own and pods', until stdin
ends, for half a minute at most. Print how many packets there were, how many of them of
WireGuard, and how many hold the marker, link by link.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			in := bufio.NewReaderSize(command.InOrStdin(), wire.MaxRequest)
			request, err := read(in)
			if err != nil {
				return err
			}
			look, err := open(request)
			if err != nil {
				return err
			}
			defer look.close()
			if err := becomeNobody(); err != nil {
				return fmt.Errorf("give root up: %w", err)
			}
			if _, err := fmt.Fprintln(command.OutOrStdout(), wire.Ready); err != nil {
				return err
			}
			var told atomic.Bool
			go func() {
				io.Copy(io.Discard, in)
				told.Store(true)
			}()
			report, err := look.until(func() bool { return told.Load() || command.Context().Err() != nil }, time.Now().Add(wire.Lifetime))
			if err != nil {
				return err
			}
			return json.NewEncoder(command.OutOrStdout()).Encode(report)
		},
	}
}

// read takes one line: standard input stays open after it.
func read(in *bufio.Reader) (wire.Request, error) {
	var request wire.Request
	line, err := in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return request, fmt.Errorf("input: a line of more than %d bytes", wire.MaxRequest)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return request, fmt.Errorf("input: %w", err)
	}
	if err := json.Unmarshal(line, &request); err != nil {
		return request, fmt.Errorf("input: %w", err)
	}
	return request, request.Check()
}

// nobody is the user that owns nothing.
const nobody = 65534

// becomeNobody is for all threads, and for good: what packets hold is anybody's.
func becomeNobody() error {
	return errors.Join(syscall.Setgroups(nil), syscall.Setresgid(nobody, nobody, nobody), syscall.Setresuid(nobody, nobody, nobody))
}
