package ssh

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/crypto/ssh"
	"golang.org/x/term"
)

// Shell runs argv, or a login shell where that is empty, for a person: as the
// user who logs in, without sudo. Where both in and stdout are terminals the
// machine gets one as well, of the same kind and size. in may be nil.
func (c *Client) Shell(ctx context.Context, argv []string, in *os.File, stdout, stderr io.Writer) error {
	line := ""
	if len(argv) > 0 {
		quoted, err := quote(argv)
		if err != nil {
			return err
		}
		line = quoted
	}
	s := streams{stdout: stdout, stderr: stderr}
	if in != nil {
		s.stdin = in
	}
	if out, ok := stdout.(*os.File); ok && in != nil && term.IsTerminal(int(in.Fd())) && term.IsTerminal(int(out.Fd())) {
		old, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return err
		}
		defer term.Restore(int(in.Fd()), old)
		resized := make(chan os.Signal, 1)
		signal.Notify(resized, syscall.SIGWINCH)
		defer close(resized)
		defer signal.Stop(resized)
		s.prepare = func(session *ssh.Session) error { return c.terminal(session, out, resized) }
	}
	kept := &tail{}
	if s.stderr = io.Writer(kept); stderr != nil {
		s.stderr = io.MultiWriter(kept, stderr)
	}
	if len(argv) == 0 {
		argv = []string{"shell"}
	}
	err := c.exec(ctx, line, s)
	return plainly(failed(err, argv, kept.Bytes()))
}

// terminal asks for a terminal like out, and passes on each change of its size.
func (c *Client) terminal(session *ssh.Session, out *os.File, resized <-chan os.Signal) error {
	width, height, err := term.GetSize(int(out.Fd()))
	if err != nil {
		width, height = 80, 24
	}
	kind := os.Getenv("TERM")
	if kind == "" {
		kind = "vt100"
	}
	if err := session.RequestPty(kind, height, width, ssh.TerminalModes{}); err != nil {
		return err
	}
	c.spawn(func() {
		for range resized {
			if width, height, err := term.GetSize(int(out.Fd())); err == nil {
				session.WindowChange(height, width)
			}
		}
	})
	return nil
}
