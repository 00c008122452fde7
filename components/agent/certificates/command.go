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
		verb("list", "Say which certificates there are",
			func(s store, _ io.Reader, out io.Writer) error {
				facts, err := s.list()
				if err != nil {
					return err
				}
				return json.NewEncoder(out).Encode(facts)
			}),
		verb("export-authorities", "Write the authorities with their keys, for another master: secret",
			func(s store, _ io.Reader, out io.Writer) error {
				files, err := s.exportAuthorities()
				if err != nil {
					return err
				}
				return json.NewEncoder(out).Encode(files)
			}),
		verb("import-authorities", "Take over another master's authorities",
			func(s store, in io.Reader, _ io.Writer) error {
				var files authorityFiles
				if err := decode(in, &files); err != nil {
					return err
				}
				return s.importAuthorities(files)
			}),
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
