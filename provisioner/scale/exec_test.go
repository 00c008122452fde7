package scale

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"time"

	"provision/components"
	format "provision/components/bundle"
	"provision/provisioner/ssh/sshtest"
)

// exec carries out a command line on a machine: a look, what the agent does with
// streams, and whatever a machine made of memory knows.
func (c *crowd) exec(name string, command *sshtest.Command) int {
	time.Sleep(c.pause)
	argv, err := unquote(command.Line)
	if err == nil && len(argv) > 3 && argv[0] == "exec" && argv[1] == "env" {
		argv = argv[3:]
	}
	var out []byte
	switch {
	case err != nil:
	case argv[0] == "sh":
		io.Copy(io.Discard, command.Stdin)
		out = records(c.site.Machines[name].Facts(), c.locks[name].seen())
	case argv[0] == "sync":
	case path.Base(argv[0]) == "agent" && argv[1] == "lock":
		return c.locks[name].command(argv[2:], command.Stdout)
	case path.Base(argv[0]) == "agent" && argv[1] == "probe":
		in := bufio.NewReader(command.Stdin)
		in.ReadString('\n')
		io.Copy(io.Discard, in)
		out = []byte(`{"failures":[]}`)
	case path.Base(argv[0]) == "agent" && argv[1] == "unpack" && slices.Contains(argv, "--from"):
		out, err = c.take(command.Context, name, flag(argv, "--id"), command.Stdin)
	case path.Base(argv[0]) == "agent" && argv[1] == "unpack":
		err = c.unpack(name, flag(argv, "--id"), command.Stdin)
	case path.Base(argv[0]) == "agent" && argv[1] == "serve":
		err = c.give(command, name, argv)
	case argv[0] == "timeout" && argv[2] == "bash":
		err = c.takeAgent(command, name, argv[6:])
	default:
		out, err = c.site.Machines[name].Run(command.Context, argv, command.Stdin)
	}
	command.Stdout.Write(out)
	var exit *components.ExitError
	switch {
	case errors.As(err, &exit):
		command.Stderr.Write(exit.Stderr)
		return exit.Code
	case err != nil:
		fmt.Fprintln(command.Stderr, err)
		return 1
	}
	return 0
}

// unpack puts a bundle's stream into a machine's memory.
func (c *crowd) unpack(name, id string, stream io.Reader) error {
	c.unpacking.Add(1)
	s, err := format.NewStream(stream)
	if err != nil {
		return err
	}
	defer s.Close()
	for {
		file, content, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		text, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		if err := c.put(name, id, file.Name, fs.FileMode(file.Mode), text); err != nil {
			return err
		}
	}
	_, raw := s.Manifest()
	return c.put(name, id, format.ManifestName, 0o644, raw)
}

// put writes a file of a bundle.
func (c *crowd) put(name, id, file string, mode fs.FileMode, text []byte) error {
	return c.site.Machines[name].WriteFile(context.Background(), path.Join(components.Root, id, file), mode, text)
}
