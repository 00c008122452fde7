package sshtest

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// Command is one command line to carry out.
type Command struct {
	Context context.Context // ends when the client goes away or sends a signal
	Line    string          // as the client sent it; "" is a login shell
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
}

// session serves one session channel: requests until one starts something.
func (c *connection) session(channel ssh.NewChannel) {
	defer c.leave()
	stream, requests, err := channel.Accept()
	if err != nil {
		return
	}
	defer stream.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan string, 8)
	done := make(chan struct{})
	started := false
	for request := range requests {
		ok := true
		var work func() // begins after the reply, which the client waits for
		switch request.Type {
		case "exec":
			var payload struct{ Line string }
			ok = ssh.Unmarshal(request.Payload, &payload) == nil
			work = func() { c.run(ctx, payload.Line, stream, signals) }
		case "shell":
			work = func() { c.run(ctx, "", stream, signals) }
		case "subsystem":
			ok = !c.server.options.NoSFTP
			serve := c.server.options.SFTP
			if serve == nil {
				serve = serveSFTP
			}
			work = func() { serve(stream) }
		case "signal":
			var payload struct{ Name string }
			if ssh.Unmarshal(request.Payload, &payload) == nil {
				signals <- payload.Name
			}
		case "pty-req":
			var payload struct {
				Term          string
				Columns, Rows uint32
				Width, Height uint32
				Modes         string
			}
			ok = ssh.Unmarshal(request.Payload, &payload) == nil
			c.window(payload.Columns, payload.Rows)
		case "window-change":
			var payload struct{ Columns, Rows, Width, Height uint32 }
			ok = ssh.Unmarshal(request.Payload, &payload) == nil
			c.window(payload.Columns, payload.Rows)
		default:
			ok = false
		}
		ok = ok && (work == nil || !started)
		if request.WantReply {
			request.Reply(ok, nil)
		}
		if ok && work != nil {
			started = true
			go func() {
				defer close(done)
				work()
				stream.Close()
			}()
		}
	}
	cancel()
	if started {
		<-done
	}
}

func (c *connection) window(columns, rows uint32) {
	c.server.note(func(s *Stats) { s.Windows = append(s.Windows, [2]int{int(columns), int(rows)}) })
}

func serveSFTP(stream io.ReadWriteCloser) {
	server, err := sftp.NewServer(stream)
	if err != nil {
		return
	}
	server.Serve()
	server.Close()
}

// run carries out a command line and reports how it ended.
func (c *connection) run(ctx context.Context, line string, stream ssh.Channel, signals <-chan string) {
	c.server.note(func(s *Stats) { s.Lines = append(s.Lines, line) })
	if c.server.options.Exec == nil {
		c.shell(ctx, line, stream, signals)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	code := c.server.options.Exec(&Command{ctx, line, stream, stream, stream.Stderr()})
	exited(stream, code)
}

func exited(stream ssh.Channel, code int) {
	stream.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(code)}))
}

var signalNumbers = map[string]syscall.Signal{"TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL, "INT": syscall.SIGINT}

// shell lets sh do it, in a process group of its own as sshd does.
func (c *connection) shell(ctx context.Context, line string, stream ssh.Channel, signals <-chan string) {
	command := exec.Command("/bin/sh", "-c", line)
	if line == "" {
		command = exec.Command("/bin/sh")
	}
	command.Env = append(os.Environ(), c.server.options.Env...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Stdout, command.Stderr = stream, stream.Stderr()
	stdin, err := command.StdinPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		io.WriteString(stream.Stderr(), err.Error()+"\n")
		exited(stream, 127)
		return
	}
	go func() {
		io.Copy(stdin, stream)
		stdin.Close()
	}()
	ended := make(chan struct{})
	go func() {
		for {
			select {
			case name := <-signals:
				syscall.Kill(-command.Process.Pid, signalNumbers[name])
			case <-ctx.Done():
				syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
				return
			case <-ended:
				return
			}
		}
	}()
	err = command.Wait()
	close(ended)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status := exit.Sys().(syscall.WaitStatus)
		if status.Signaled() {
			for name, number := range signalNumbers {
				if number == status.Signal() {
					stream.SendRequest("exit-signal", false, ssh.Marshal(struct {
						Name          string
						Core          bool
						Message, Lang string
					}{Name: name}))
					return
				}
			}
		}
		exited(stream, status.ExitStatus())
		return
	}
	exited(stream, 0)
}
