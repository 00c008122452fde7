package actions

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"provision/components"
	"provision/components/handover"
)

// spread is a site on which others offer first.
type spread struct {
	*fake
	turns []components.Turn
	sent  []map[string]bool // what the operator left out, each time
	ended []error
}

func (s *spread) Turn(_ context.Context, _ handover.Parcel, _ string, have map[string]bool) (components.Turn, error) {
	turn := components.Turn{}
	if len(s.turns) > 0 {
		turn, s.turns = s.turns[0], s.turns[1:]
	}
	turn.Done = func(err error) { s.ended = append(s.ended, err) }
	return turn, nil
}

func (s *spread) Bundle(_ context.Context, _ io.Writer, have map[string]bool) error {
	s.sent = append(s.sent, have)
	return nil
}

// A machine that got a part from another one, and nothing from a third, gets the
// rest from the operator.
func TestUnpackGoesOnElsewhere(t *testing.T) {
	from := &handover.Source{Token: handover.NewToken(), Manifest: []byte("{}")}
	reports := []handover.Report{{Problem: "torn", Have: []string{"aa"}}, {Problem: "i/o timeout"}}
	site := &spread{turns: []components.Turn{{From: from}, {From: from}}}
	site.fake = &fake{says: func(argv []string) string {
		if !slices.Contains(argv, "--from") {
			return ""
		}
		text, _ := json.Marshal(reports[0])
		reports = reports[1:]
		return string(text)
	}}
	known := map[string]bool{"bb": true}
	if err := (Unpack{ID: "1.36.3-0123456789ab", Agent: "/agent", Have: known}).Apply(t.Context(), site, site); err != nil {
		t.Fatal(err)
	}
	if len(site.sent) != 1 || !site.sent[0]["aa"] || !site.sent[0]["bb"] || len(known) != 1 {
		t.Errorf("the operator leaves out %v", site.sent)
	}
	if len(site.ended) != 3 || !errors.As(site.ended[0], new(handover.Problem)) || !errors.As(site.ended[1], new(handover.Problem)) || site.ended[2] != nil {
		t.Errorf("ended with %v", site.ended)
	}
	for _, line := range site.ran {
		if strings.Contains(line, from.Token) {
			t.Errorf("the token is among the arguments: %s", line)
		}
	}
}

// What is wrong on the machine itself is not tried anew.
func TestUnpackBlamesNobodyForAFullDisk(t *testing.T) {
	site := &spread{turns: []components.Turn{{From: &handover.Source{}}}}
	site.fake = &fake{run: func([]string, io.Reader) error { return errors.New("no space left on device") }}
	err := (Unpack{}).Apply(t.Context(), site, site)
	if err == nil || len(site.sent) != 0 || len(site.ended) != 1 || errors.As(site.ended[0], new(handover.Problem)) {
		t.Errorf("%v, sent %v, ended %v", err, site.sent, site.ended)
	}
}

// here runs commands on this computer.
type here struct{ *fake }

func (here) Run(ctx context.Context, argv []string, stdin io.Reader) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin = stdin
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, &components.ExitError{Argv: argv, Code: cmd.ProcessState.ExitCode(), Stderr: stderr.Bytes()}
	}
	return out, nil
}

// The agent comes by bash, and only where it is the one that was planned.
func TestTheAgentIsTaken(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash")
	}
	agent := strings.Repeat("agent\x00\n", 100000)
	for name, c := range map[string]struct {
		given, token string
		listens      bool
		taken        bool
	}{
		"as it should be": {agent, "", true, true},
		"another agent":   {agent + "!", "", true, false},
		"another token":   {agent, handover.NewToken(), true, false},
		"nobody listens":  {agent, "", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			source := handover.Source{At: listener.Addr().(*net.TCPAddr).AddrPort(), Token: handover.NewToken()}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan struct{})
			if !c.listens {
				listener.Close()
			}
			token := source.Token
			go func() {
				defer close(ended)
				handover.Give(ctx, listener, token, func(w io.Writer) error {
					_, err := io.WriteString(w, c.given)
					return err
				})
			}()
			defer func() { stop(); <-ended }()
			if c.token != "" {
				source.Token = c.token
			}
			action := UploadAgent{Path: filepath.Join(t.TempDir(), "agent-0123", "agent"), Sum: components.Sum([]byte(agent))}
			err = action.take(t.Context(), here{}, source)
			text, _ := os.ReadFile(action.Path)
			if c.taken && (err != nil || string(text) != agent) || !c.taken && (!errors.As(err, new(handover.Problem)) || text != nil) {
				t.Errorf("%d bytes, %v", len(text), err)
			}
			if info, err := os.Stat(action.Path); c.taken && (err != nil || info.Mode() != 0o755) {
				t.Errorf("%v, %v", info, err)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(action.Path), ".tmp*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
