package handover

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// giving offers a text on loopback, and returns where and how it ended.
func giving(t *testing.T, ctx context.Context, text string) (Source, <-chan error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	source := Source{At: listener.Addr().(*net.TCPAddr).AddrPort(), Token: NewToken()}
	ended := make(chan error, 1)
	go func() {
		ended <- Give(ctx, listener, source.Token, func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return err
		})
	}()
	return source, ended
}

func take(t *testing.T, source Source) (string, error) {
	t.Helper()
	stream, err := Take(t.Context(), source)
	if err != nil {
		return "", err
	}
	defer stream.Close()
	text, err := io.ReadAll(stream)
	return string(text), err
}

func TestOnlyWhoKnowsTheTokenGetsIt(t *testing.T) {
	source, ended := giving(t, t.Context(), "a bundle")
	stranger := source
	stranger.Token = NewToken()
	if text, err := take(t, stranger); text != "" {
		t.Errorf("a stranger got %q, %v", text, err)
	}
	silent, err := net.Dial("tcp", source.At.String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if text, err := take(t, source); text != "a bundle" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := take(t, source); err == nil {
		t.Error("it is given twice")
	}
}

// What somebody overheard is worth nothing: the next challenge is another.
func TestAProofIsForOneChallenge(t *testing.T) {
	source, _ := giving(t, t.Context(), "a bundle")
	ask := func(answer string) (challenge, got string) {
		conn, err := net.Dial("tcp", source.At.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		challenge, err = in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, answer+"\n")
		text, _ := io.ReadAll(in)
		return strings.TrimSpace(challenge), string(text)
	}
	challenge, _ := ask(strings.Repeat("0", 64))
	if _, got := ask(proof(source.Token, challenge)); got != "" {
		t.Errorf("a proof of before gets %q", got)
	}
	if text, err := take(t, source); text != "a bundle" || err != nil {
		t.Errorf("then who is meant got %q, %v", text, err)
	}
}

func TestAnOfferEndsWithWhoeverMadeIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	source, ended := giving(t, ctx, "a bundle")
	conn, err := net.Dial("tcp", source.At.String()) // one that never proves anything
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(2 * time.Second):
		t.Fatal("it goes on")
	}
	if _, err := take(t, source); err == nil {
		t.Error("it still listens")
	}
}

// A giver whose power is gone closes nothing, and one that trickles never ends.
func TestASilentOrSlowGiverIsGivenUp(t *testing.T) {
	for name, limits := range map[string]taking{
		"silent": {until: time.Now().Add(time.Minute), stall: 50 * time.Millisecond},
		"slow":   {until: time.Now().Add(200 * time.Millisecond), stall: time.Minute},
	} {
		near, far := net.Pipe()
		defer far.Close()
		go func() {
			for err := error(nil); err == nil; time.Sleep(20 * time.Millisecond) {
				if _, err = far.Write([]byte("x")); name == "silent" {
					return
				}
			}
		}()
		limits.conn = near
		began := time.Now()
		_, err := io.ReadAll(&limits)
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) > 10*time.Second {
			t.Errorf("%s: %v after %s", name, err, time.Since(began))
		}
		near.Close()
	}
}

func TestNobodyListens(t *testing.T) {
	source := Source{At: netip.MustParseAddrPort("127.0.0.1:1"), Token: NewToken()}
	if _, err := Take(t.Context(), source); err == nil {
		t.Error("no error")
	}
}

func TestWhatNoProvisionerSays(t *testing.T) {
	for _, source := range []Source{
		{Token: NewToken()},
		{At: netip.MustParseAddrPort("10.0.0.1:0"), Token: NewToken()},
		{At: netip.MustParseAddrPort("10.0.0.1:1"), Token: "secret"},
	} {
		if source.Check() == nil {
			t.Errorf("%+v is taken", source)
		}
	}
}
