package certificates

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"provision/components"
	"provision/components/agent/durable"
	"provision/components/pki"
)

// maxInput bounds what is read from standard input, in bytes.
const maxInput = 1 << 20

// NewCommand returns "agent certificates" with its verbs. They read and write
// JSON: see ARCHITECTURE.md, "The agent".
func NewCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "certificates",
		Short: "Make keys, ask for certificates, sign and install them",
	}
	command.AddCommand(
		verb("init", "Make the authorities and keys that are missing, and replace none",
			func(s store, _ io.Reader, _ io.Writer) error { return s.initialize(time.Now()) }),
		verb("request", "Make missing keys and certificate requests",
			func(s store, in io.Reader, out io.Writer) error {
				return answer(in, out, s.request)
			}),
		verb("sign", "Sign certificate requests with this machine's authorities",
			func(s store, in io.Reader, out io.Writer) error {
				return answer(in, out, func(r pki.Requests) (pki.Signed, error) { return s.sign(r, time.Now()) })
			}),
		verb("install", "Install signed certificates",
			func(s store, in io.Reader, _ io.Writer) error {
				var signed pki.Signed
				if err := decode(in, &signed); err != nil {
					return err
				}
				return s.install(signed, time.Now())
			}),
		listCommand(),
		verb("export-authorities", "Write the authorities with their keys, for another master: secret",
			func(s store, _ io.Reader, out io.Writer) error { return hand(s, authorityFileNames(), out) }),
		verb("import-authorities", "Take over another master's authorities",
			func(s store, in io.Reader, _ io.Writer) error {
				var files authorityFiles
				if err := decode(in, &files); err != nil {
					return err
				}
				return s.importAuthorities(files)
			}),
		verb("next", "Make the authorities that are to follow, on one master",
			func(s store, _ io.Reader, _ io.Writer) error { return s.makeNext(time.Now()) }),
		verb("export-next", "Write the authorities that are to follow, for another master: secret",
			func(s store, _ io.Reader, out io.Writer) error { return hand(s.next(), pki.NextFiles(), out) }),
		verb("import-next", "Take over another master's authorities that are to follow",
			func(s store, in io.Reader, _ io.Writer) error {
				var files authorityFiles
				if err := decode(in, &files); err != nil {
					return err
				}
				return s.importNext(files)
			}),
		verb("switch", "Sign with the authorities that were to follow",
			func(s store, _ io.Reader, _ io.Writer) error { return s.switchOver() }),
		verb("retire", "Mark the authorities of before as not to be trusted any more",
			func(s store, _ io.Reader, _ io.Writer) error { return s.retire() }),
		presharedKeyCommand(),
	)
	return command
}

func verb(name, short string, do func(store, io.Reader, io.Writer) error) *cobra.Command {
	var dir string
	command := &cobra.Command{
		Use:   name,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := do(store(dir), command.InOrStdin(), command.OutOrStdout()); err != nil {
				return fmt.Errorf("certificates %s: %w", name, err)
			}
			return nil
		},
	}
	command.Flags().StringVar(&dir, "dir", components.PKI, "folder of keys and certificates")
	return command
}

// hand writes files of a folder for another master.
func hand(s store, names []string, out io.Writer) error {
	files, err := s.export(names)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(files)
}

func listCommand() *cobra.Command {
	var kubelet string
	command := verb("list", "Say which certificates there are",
		func(s store, _ io.Reader, out io.Writer) error {
			facts, err := s.list(kubelet)
			if err != nil {
				return err
			}
			return json.NewEncoder(out).Encode(facts)
		})
	command.Flags().StringVar(&kubelet, "kubelet", pki.KubeletServerFile, "certificate with which kubelet serves")
	return command
}

// answer reads one JSON value and writes another.
func answer[In, Out any](in io.Reader, out io.Writer, do func(In) (Out, error)) error {
	var question In
	if err := decode(in, &question); err != nil {
		return err
	}
	reply, err := do(question)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(reply)
}

func decode(in io.Reader, into any) error {
	text, err := durable.ReadAll(in, maxInput)
	if err != nil {
		return fmt.Errorf("input: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("input: %w", err)
	}
	return nil
}
