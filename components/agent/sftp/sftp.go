// Package sftp is an SFTP server on standard input and output. Through sudo it
// gives the provisioner root's files on a machine where only a plain user may
// log in. Who may start it is sudo's affair; it serves whatever its user may.
package sftp

import (
	"errors"
	"io"

	"github.com/pkg/sftp"
	"github.com/spf13/cobra"
)

// NewCommand returns "agent sftp".
func NewCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sftp",
		Short: "Serve SFTP on standard input and output",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return serve(command.InOrStdin(), command.OutOrStdout())
		},
	}
}

// serve answers until its input ends.
func serve(in io.Reader, out io.Writer) error {
	server, err := sftp.NewServer(pipe{in, out})
	if err != nil {
		return err
	}
	defer server.Close()
	if err := server.Serve(); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// pipe is standard input and output as one stream. Closing it leaves both open:
// the process is about to end.
type pipe struct {
	io.Reader
	io.Writer
}

func (pipe) Close() error { return nil }
