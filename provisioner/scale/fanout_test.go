package scale

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"path"
	"strconv"
	"testing/fstest"

	"provision/components"
	format "provision/components/bundle"
	"provision/components/handover"
	"provision/provisioner/ssh/sshtest"
)

// give is "agent serve" on a machine made of memory, at loopback instead of
// the machine's own address.
func (c *crowd) give(command *sshtest.Command, name string, argv []string) error {
	in := bufio.NewReader(command.Stdin)
	var offer handover.Offer
	text, err := in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(text, &offer)
	}
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(command.Context)
	defer cancel()
	go func() {
		io.Copy(io.Discard, in)
		cancel()
	}()
	json.NewEncoder(command.Stdout).Encode(handover.Place{Port: uint16(listener.Addr().(*net.TCPAddr).Port)})
	if argv[2] == string(handover.Agent) {
		content, _ := c.site.Machines[name].File(argv[0])
		return handover.Give(ctx, listener, offer.Token, func(w io.Writer) error {
			_, err := (&passed{w, c.link}).Write(content)
			return err
		})
	}
	without := map[string]bool{}
	for _, sum := range offer.Without {
		without[sum] = true
	}
	raw, folder := c.unpacked(name, flag(argv, "--id"))
	manifest, err := format.ParseManifest(raw)
	if err != nil {
		return err
	}
	return handover.Give(ctx, listener, offer.Token, func(w io.Writer) error {
		return format.Pack(&passed{w, c.link}, manifest, raw, folder, without)
	})
}

// takeAgent is take-agent.sh, at loopback: args are its own.
func (c *crowd) takeAgent(command *sshtest.Command, name string, args []string) error {
	token, err := bufio.NewReader(command.Stdin).ReadString('\n')
	if err != nil {
		return err
	}
	port, err := strconv.ParseUint(args[1], 10, 16)
	if err != nil {
		return err
	}
	stream, err := handover.Take(command.Context, handover.Source{At: c.at(uint16(port)), Token: token[:len(token)-1]})
	if err != nil {
		return err
	}
	defer stream.Close()
	content, err := io.ReadAll(stream)
	if err == nil && components.Sum(content) != args[3] {
		err = errors.New("another agent")
	}
	if err != nil {
		return err
	}
	return c.site.Machines[name].WriteFile(command.Context, args[2], 0o755, content)
}

// at is where a machine reaches another one's port.
func (c *crowd) at(port uint16) netip.AddrPort {
	if c.walled {
		port = 1 // where nobody listens
	}
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
}

// unpacked is a machine's bundle.
func (c *crowd) unpacked(name, id string) (raw []byte, folder fs.FS) {
	on := c.site.Machines[name]
	files := fstest.MapFS{}
	for file := range c.cluster.Bundle.Files {
		if content, ok := on.File(path.Join(components.Root, id, file)); ok {
			files[file] = &fstest.MapFile{Data: content, Mode: 0o755}
		}
	}
	raw, _ = on.File(path.Join(components.Root, id, format.ManifestName))
	return raw, files
}

// take is "agent unpack --from", at loopback.
func (c *crowd) take(ctx context.Context, name, id string, in io.Reader) ([]byte, error) {
	var source handover.Source
	if err := json.NewDecoder(in).Decode(&source); err != nil {
		return nil, err
	}
	source.At = c.at(source.At.Port())
	report := handover.Report{Unpacked: true}
	stream, err := handover.Take(ctx, source)
	if err == nil {
		defer stream.Close()
		err = c.unpack(name, id, stream)
	}
	if err != nil {
		report = handover.Report{Problem: err.Error()}
	}
	var out bytes.Buffer
	err = json.NewEncoder(&out).Encode(report)
	return out.Bytes(), err
}

// passed counts what machines give each other.
type passed struct {
	io.Writer
	link *link
}

func (p *passed) Write(b []byte) (int, error) {
	n, err := p.Writer.Write(b)
	p.link.mu.Lock()
	defer p.link.mu.Unlock()
	p.link.beside += int64(n)
	return n, err
}
