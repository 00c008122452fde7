package pki

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"provision/components"
)

// liar is a machine whose agent answers what it likes, and remembers what it was asked.
type liar struct {
	answers map[string]string // by verb
	asked   map[string]string
}

func (l liar) Name() string { return "w1" }
func (l liar) Run(_ context.Context, argv []string, stdin io.Reader) ([]byte, error) {
	text, err := io.ReadAll(stdin)
	if err != nil {
		return nil, err
	}
	l.asked[argv[2]] = string(text)
	return []byte(l.answers[argv[2]]), nil
}
func (l liar) ReadFile(context.Context, string) ([]byte, error) { return nil, fs.ErrNotExist }
func (l liar) WriteFile(context.Context, string, fs.FileMode, []byte) error {
	return errors.New("not expected")
}

type sites struct {
	components.Site
	signer components.Machine
}

func (s sites) Machine(string) (components.Machine, error) { return s.signer, nil }

func TestWhatIsSignedIsWhatThePlanSays(t *testing.T) {
	c := cluster()
	asks := Leaf{Name: "kubelet", Authority: ClusterCA, CommonName: "admin", Organizations: []string{"provision:admins"}}
	answer, _ := json.Marshal(Requests{Requests: []Request{{Leaf: asks, CSR: "CSR"}}})
	machine := liar{map[string]string{"request": string(answer)}, map[string]string{}}
	signer := liar{map[string]string{"sign": `{}`}, map[string]string{}}
	issue := Issue{Agent: "/agent", Signer: "m1", Leaves: Leaves(c, c.Machines[1])[:1]}
	if err := issue.Apply(context.Background(), machine, sites{signer: signer}); err != nil {
		t.Fatal(err)
	}
	if got := signer.asked["sign"]; strings.Contains(got, "admin") || !strings.Contains(got, `"common_name":"system:node:w1"`) || !strings.Contains(got, `"csr":"CSR"`) {
		t.Errorf("the signer was asked %s", got)
	}
}

func TestAnswersThatDoNotFitAreRefused(t *testing.T) {
	c := cluster()
	issue := Issue{Agent: "/agent", Signer: "m1", Leaves: Leaves(c, c.Machines[1])[:1]}
	for answer, want := range map[string]string{
		`{"requests":[]}`: "0 answers to 1 leaves",
		`{"requests":[{"leaf":{"name":"admin"},"csr":"x"}]}`: `answered "admin"`,
		`hello`: "invalid character",
	} {
		signer := liar{nil, map[string]string{}}
		err := issue.Apply(context.Background(), liar{map[string]string{"request": answer}, map[string]string{}}, sites{signer: signer})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", answer, err, want)
		}
		if len(signer.asked) > 0 {
			t.Errorf("%s: the signer was asked", answer)
		}
	}
}
