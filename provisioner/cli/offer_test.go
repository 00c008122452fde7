package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// serving is a machine on which one command runs.
type serving func(stdin *bufio.Reader, stdout io.Writer) error

func (serving) ReadFile(context.Context, string) ([]byte, error) { return nil, errors.ErrUnsupported }

func (s serving) RunStream(ctx context.Context, _ []string, stdin io.Reader, stdout, _ io.Writer) error {
	ended := make(chan error, 1)
	go func() { ended <- s(bufio.NewReader(stdin), stdout) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// An offer says where it listens, and goes on until it is taken back.
func TestAnOffer(t *testing.T) {
	told, over := make(chan string, 1), make(chan bool, 1)
	on := serving(func(stdin *bufio.Reader, stdout io.Writer) error {
		line, _ := stdin.ReadString('\n')
		told <- line
		io.WriteString(stdout, `{"po`)
		io.WriteString(stdout, "rt\":40000}\n")
		io.Copy(io.Discard, stdin)
		over <- true
		return nil
	})
	port, end, err := listening(t.Context(), on, nil, []byte("offer\n"))
	if err != nil || port != 40000 {
		t.Fatalf("port %d, %v", port, err)
	}
	if line := <-told; line != "offer\n" {
		t.Errorf("told %q", line)
	}
	select {
	case <-over:
		t.Error("it did not go on")
	default:
	}
	end()
	if !<-over {
		t.Error("it goes on")
	}
}

// What a machine says may be anything.
func TestAnOfferThatIsNone(t *testing.T) {
	for name, c := range map[string]struct {
		says string
		err  error
	}{
		"no command":     {"", errors.New("exit status 64")},
		"nothing":        {"", nil},
		"no JSON":        {"hello\n", nil},
		"no port":        {"{}\n", nil},
		"a negative one": {"{\"port\":-1}\n", nil},
		"a long line":    {strings.Repeat("x", maxPlace+1), nil},
	} {
		t.Run(name, func(t *testing.T) {
			on := serving(func(_ *bufio.Reader, stdout io.Writer) error {
				io.WriteString(stdout, c.says)
				return c.err
			})
			port, _, err := listening(t.Context(), on, nil, nil)
			if err == nil || port != 0 || c.err != nil && !errors.Is(err, c.err) {
				t.Errorf("port %d, error %v", port, err)
			}
		})
	}
}

func TestAMachineThatKeepsSilentOffersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		on := serving(func(stdin *bufio.Reader, _ io.Writer) error {
			io.Copy(io.Discard, stdin)
			return nil
		})
		began := time.Now()
		if _, _, err := listening(t.Context(), on, nil, nil); err == nil || time.Since(began) > offerWithin+offerEnds {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}
