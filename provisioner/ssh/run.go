package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"provision/components"
)

const (
	maxStdout = 16 << 20
	maxStderr = 1 << 20
	// killAfter is what a command has to end by itself once it was told to.
	killAfter = 2 * time.Second
)

// Run runs argv as root and returns its standard output, at most 16 MiB. A
// command that ran and failed is a *components.ExitError, and what it printed
// comes with it. Where ctx ends first, the command and what it started get SIGTERM, 2 s later SIGKILL, and the error
// is ctx's cause.
func (c *Client) Run(ctx context.Context, argv []string, stdin io.Reader) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stdout := &bounded{full: func() { cancel(fmt.Errorf("%q: more than %d MiB of output", argv, maxStdout>>20)) }}
	err := c.RunStream(ctx, argv, stdin, stdout, nil)
	var exit *components.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	return stdout.Bytes(), err
}

// RunStream is Run for much input or output. stdin and stdout may be nil. What
// goes to stderr, where that is not nil, is kept for the error as well. An
// error of stdin's ends the command and is returned.
func (c *Client) RunStream(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if err := runnable(argv); err != nil {
		return err
	}
	mark := newMark()
	line, err := quote(mark.wrap(argv))
	if err != nil {
		return err
	}
	kept := &tail{}
	s := streams{stdin: stdin, stdout: stdout, stderr: kept, mark: mark}
	if stderr != nil {
		s.stderr = io.MultiWriter(kept, stderr)
	}
	err = c.exec(ctx, c.rootLine(line), s)
	return plainly(c.explain(err, argv, kept.Bytes()))
}

// explain gives a failed command its words.
func (c *Client) explain(err error, argv []string, stderr []byte) error {
	var exit *ssh.ExitError
	if c.target.Sudo && errors.As(err, &exit) {
		if refused := sudoError(c.target.user(), exit.ExitStatus(), stderr); refused != nil {
			return refused
		}
	}
	return failed(err, argv, stderr)
}

// failed turns the library's exit error into ours.
func failed(err error, argv []string, stderr []byte) error {
	var exit *ssh.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	ours := &components.ExitError{Argv: argv, Code: exit.ExitStatus(), Signal: exit.Signal(), Stderr: stderr}
	if ours.Signal != "" {
		ours.Code = -1
	}
	return ours
}

type streams struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	prepare        func(*ssh.Session) error // before the command starts; may be nil
	mark           mark                     // by which to find the command and kill it; may be ""
}

// exec runs one line of shell in a session of its own, to its end.
func (c *Client) exec(ctx context.Context, line string, s streams) error {
	release, err := c.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	session, err := c.openSession(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	stdout, stderr := &gate{to: s.stdout}, &gate{to: s.stderr}
	defer stdout.shut()
	defer stderr.shut()
	session.Stdout, session.Stderr = stdout, stderr
	var input io.WriteCloser
	if s.stdin != nil {
		if input, err = session.StdinPipe(); err != nil {
			return err
		}
	}
	if s.prepare != nil {
		if err := s.prepare(session); err != nil {
			return c.lost(err)
		}
	}
	start := session.Shell
	if line != "" {
		start = func() error { return session.Start(line) }
	}
	if err := start(); err != nil {
		return c.lost(err)
	}
	if input != nil {
		// Not waited for: a terminal's Read ends with the process.
		go feed(input, s.stdin, cancel)
	}
	return c.wait(ctx, session, s.mark)
}

// feed copies a command's input to it. A command that does not read all of it
// is no error; a source that fails is, lest the command takes half for all.
func feed(input io.WriteCloser, source io.Reader, cancel context.CancelCauseFunc) {
	watched := &watchedReader{Reader: source}
	io.Copy(input, watched)
	if watched.err != nil {
		cancel(watched.err)
		return
	}
	input.Close()
}

type watchedReader struct {
	io.Reader
	err error
}

func (r *watchedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// wait waits for a command's end, and brings it about when ctx ends.
func (c *Client) wait(ctx context.Context, session *ssh.Session, mark mark) error {
	var err error
	ended := make(chan struct{})
	c.spawn(func() {
		defer close(ended)
		err = session.Wait()
	})
	select {
	case <-ended:
		var missing *ssh.ExitMissingError
		if errors.As(err, &missing) {
			if c.ctx.Err() == nil {
				// The channel's end can be seen before the connection's.
				select {
				case <-c.ctx.Done():
				case <-time.After(killAfter):
				}
			}
			return c.lost(err)
		}
		return err
	case <-ctx.Done():
	}
	c.kill(session, mark, ssh.SIGTERM, ended)
	select {
	case <-ended:
	case <-time.After(killAfter):
		c.kill(session, mark, ssh.SIGKILL, ended)
	case <-c.ctx.Done():
	}
	return context.Cause(ctx)
}

// gate keeps what still arrives after exec has returned from a writer that is
// its caller's again.
type gate struct {
	mu   sync.Mutex
	to   io.Writer // nil: nobody wants it
	over bool
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over || g.to == nil {
		return len(p), nil
	}
	return g.to.Write(p)
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
}

// bounded keeps what a command says, to a limit.
type bounded struct {
	bytes.Buffer
	full func()
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxStdout {
		b.full()
		return 0, io.ErrShortWrite
	}
	return b.Buffer.Write(p)
}

// tail keeps the last of what a command says: the reason of a failure is there.
type tail struct{ bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	t.Buffer.Write(p)
	if t.Len() > 2*maxStderr {
		t.Next(t.Len() - maxStderr)
	}
	return len(p), nil
}

func (t *tail) Bytes() []byte {
	text := t.Buffer.Bytes()
	return text[max(0, len(text)-maxStderr):]
}
