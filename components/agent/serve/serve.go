// Package serve hands the agent, or the bundle that a machine has unpacked, to
// another machine, once: to whoever proves to know the token of that transfer. It
// lives no longer than the SSH session that asks for it.
//
// Nothing that it gives is secret, and it checks nothing of it: the taker does,
// against sums of the operator's.
package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"provision/components"
	"provision/components/handover"
)

// maxOffer bounds what is read of standard input, in bytes.
const maxOffer = 2 << 20

// parcel is what is given: opened before root's rights are given up.
type parcel interface {
	io.Closer
	pack(w io.Writer, offer handover.Offer) error
}

// NewCommand is "agent serve".
func NewCommand() *cobra.Command {
	group := &cobra.Command{Use: "serve", Short: "Hand the agent or the bundle to one other machine"}
	const long = "Reads one line, handover.Offer, from standard input, listens at a free port of the address and prints\n" +
		"where, as handover.Place. The first that proves to know the offer's token gets it, and nobody after it. It\n" +
		"ends then, when standard input does, or when nobody came for a minute. It gives as nobody."
	agent := newGiveCommand("agent", "This agent's own file", long, func() (parcel, error) {
		file, err := os.Open("/proc/self/exe")
		return program{file}, err
	})
	var root, id string
	bundle := newGiveCommand("bundle", "The unpacked bundle", long, func() (parcel, error) { return open(root, id) })
	bundle.Flags().StringVar(&root, "root", components.Root, "folder of the bundles")
	bundle.Flags().StringVar(&id, "id", "", "the bundle's id")
	bundle.MarkFlagRequired("id")
	group.AddCommand(agent, bundle)
	return group
}

func newGiveCommand(name, short, long string, open func() (parcel, error)) *cobra.Command {
	var address string
	command := &cobra.Command{
		Use: name + " --address ADDRESS", Short: short, Long: long, Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			what, err := open()
			if err != nil {
				return err
			}
			defer what.Close()
			listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
			if err != nil {
				return err
			}
			defer listener.Close()
			if err := becomeNobody(); err != nil {
				return fmt.Errorf("give root up: %w", err)
			}
			return give(command.Context(), listener, what, command.InOrStdin(), command.OutOrStdout())
		},
	}
	command.Flags().StringVar(&address, "address", "", "the machine's own address, to listen at")
	command.MarkFlagRequired("address")
	return command
}

// give reads the offer, says where the listener listens, and hands over.
func give(ctx context.Context, listener net.Listener, what parcel, stdin io.Reader, out io.Writer) error {
	in := bufio.NewReader(io.LimitReader(stdin, maxOffer))
	offer, err := readOffer(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		io.Copy(io.Discard, in) // an end, or an error, is the provisioner's going
		cancel()
	}()
	place := handover.Place{Port: uint16(listener.Addr().(*net.TCPAddr).Port)}
	if err := json.NewEncoder(out).Encode(place); err != nil {
		return err
	}
	err = handover.Give(ctx, listener, offer.Token, func(w io.Writer) error { return what.pack(w, offer) })
	if ctx.Err() != nil {
		return nil // the provisioner needs it no more
	}
	return err
}

// readOffer reads one line of JSON.
func readOffer(in *bufio.Reader) (handover.Offer, error) {
	var offer handover.Offer
	line, err := in.ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return offer, fmt.Errorf("input: %w", err)
	}
	if err := json.Unmarshal(line, &offer); err != nil {
		return offer, fmt.Errorf("input: %w", err)
	}
	return offer, offer.Check()
}

// program is a file that is given as it is.
type program struct{ *os.File }

func (p program) pack(w io.Writer, _ handover.Offer) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{p.File}, make([]byte, 256<<10))
	return err
}

// nobody is the user that owns nothing.
const nobody = 65534

// becomeNobody gives root's rights up for good: strangers speak to this process.
func becomeNobody() error {
	if os.Geteuid() != 0 {
		return nil
	}
	return errors.Join(syscall.Setgroups(nil), syscall.Setresgid(nobody, nobody, nobody), syscall.Setresuid(nobody, nobody, nobody))
}
