package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"provision/components"
	"provision/components/actions"
	"provision/components/wire"
)

// agentOf finds in the overlay's unit the agent that a machine runs.
var agentOf = regexp.MustCompile(`(?m)^ExecStart=(` + regexp.QuoteMeta(components.Root) + `/agent-[0-9a-f]{12}/agent) `)

// streaming is what of a machine's connection the look at the wire needs.
type streaming interface {
	ReadFile(ctx context.Context, name string) ([]byte, error)
	RunStream(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) error
}

// sniff has the agent that a machine runs look at the machine's links until hold
// ends. ready is called when it does.
func sniff(ctx context.Context, on streaming, request wire.Request, ready func(), hold io.Reader) (wire.Report, error) {
	unit := path.Join(components.Units, actions.Service("overlay"))
	text, err := on.ReadFile(ctx, unit)
	if errors.Is(err, fs.ErrNotExist) {
		return wire.Report{}, fmt.Errorf("there is no %s: `provision up` brings it", unit)
	}
	if err != nil {
		return wire.Report{}, err
	}
	match := agentOf.FindSubmatch(text)
	if match == nil {
		return wire.Report{}, fmt.Errorf("%s does not say which agent it runs; `provision up` repairs it", unit)
	}
	line, err := json.Marshal(request)
	if err != nil {
		return wire.Report{}, err
	}
	heard := &sniffer{ready: ready}
	stdin := io.MultiReader(strings.NewReader(string(line)+"\n"), hold)
	if err := on.RunStream(ctx, []string{string(match[1]), "sniff"}, stdin, heard, nil); err != nil {
		return wire.Report{}, err
	}
	return heard.report()
}

// maxHeard bounds what is taken of a machine's answer, in bytes.
const maxHeard = 64 << 10

// sniffer takes the answer in: a first line when it begins, and a report.
type sniffer struct {
	ready func()
	text  bytes.Buffer
	begun bool
}

func (s *sniffer) Write(p []byte) (int, error) {
	if s.text.Len()+len(p) > maxHeard {
		return 0, io.ErrShortWrite
	}
	n, err := s.text.Write(p)
	if !s.begun && strings.HasPrefix(s.text.String(), wire.Ready+"\n") {
		s.begun = true
		s.ready()
	}
	return n, err
}

func (s *sniffer) report() (wire.Report, error) {
	var report wire.Report
	rest, began := strings.CutPrefix(s.text.String(), wire.Ready+"\n")
	if !began {
		return report, fmt.Errorf("it answers %.40q", s.text.String())
	}
	if err := json.Unmarshal([]byte(rest), &report); err != nil {
		return report, fmt.Errorf("answer: %w", err)
	}
	if len(report.Links) == 0 {
		return report, errors.New("answer: it looked at no link")
	}
	for _, l := range report.Links {
		if l.Packets < 0 || l.WireGuard < 0 || l.Clear < 0 || l.Missed < 0 {
			return report, fmt.Errorf("answer: link %.20q has less than no packets", l.Name)
		}
	}
	return report, nil
}
