package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"provision/components/reach"
)

var key = bytes.Repeat([]byte{7}, 32)

// free returns an endpoint at which nobody listens.
func free(t *testing.T, proto string) reach.Endpoint {
	t.Helper()
	if proto == "udp" {
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return reach.Endpoint{Proto: proto, Addr: conn.LocalAddr().(*net.UDPAddr).AddrPort()}
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return reach.Endpoint{Proto: proto, Addr: listener.Addr().(*net.TCPAddr).AddrPort()}
}

// command runs "agent probe <name>" and returns what it says.
func command(t *testing.T, name string, stdin io.Reader) (reach.Report, error) {
	t.Helper()
	var out bytes.Buffer
	probe := NewCommand()
	probe.SetArgs([]string{name})
	probe.SetIn(stdin)
	probe.SetOut(&out)
	probe.SilenceErrors, probe.SilenceUsage = true, true
	if err := probe.ExecuteContext(t.Context()); err != nil {
		return reach.Report{}, err
	}
	var report reach.Report
	err := json.Unmarshal(out.Bytes(), &report)
	return report, err
}

func line(t *testing.T, request reach.Request) string {
	t.Helper()
	text, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

func TestListenersAreReached(t *testing.T) {
	tcp, udp := free(t, "tcp"), free(t, "udp")
	stdin, hold := io.Pipe()
	ended := make(chan error, 1)
	// The dialler is first, as may happen: it waits for the listener.
	reached := make(chan reach.Report, 1)
	go func() {
		report, _ := command(t, "reach", strings.NewReader(line(t, reach.Request{Key: key, Dial: []reach.Dial{{Endpoint: tcp}, {Endpoint: udp}}})))
		reached <- report
	}()
	time.Sleep(100 * time.Millisecond)
	go func() {
		report, err := command(t, "listen", stdin)
		if len(report.Failures) > 0 {
			t.Errorf("listen: %+v", report.Failures)
		}
		ended <- err
	}()
	if _, err := io.WriteString(hold, line(t, reach.Request{Key: key, Listen: []reach.Endpoint{tcp, udp}})); err != nil {
		t.Fatal(err)
	}
	if report := <-reached; report.Failures == nil || len(report.Failures) > 0 {
		t.Errorf("reach: %+v", report.Failures)
	}
	hold.Close()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the listener outlives its standard input")
	}
}

func TestWhyAnEndpointIsNotReached(t *testing.T) {
	stranger, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	go func() {
		for {
			conn, err := stranger.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "220 mail.example.org ESMTP, at your service\r\n")
			conn.Close()
		}
	}()
	mute, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	at := func(addr net.Addr) reach.Endpoint {
		return reach.Endpoint{Proto: addr.Network(), Addr: netip.MustParseAddrPort(addr.String())}
	}
	dials := []reach.Dial{
		{Endpoint: free(t, "tcp")},
		{Endpoint: at(stranger.Addr())},
		{Endpoint: at(stranger.Addr()), Open: true},
		{Endpoint: at(mute.LocalAddr())},
		{Endpoint: free(t, "udp")},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	start := time.Now()
	got := map[netip.AddrPort]reach.Reason{}
	for _, failure := range dialAll(ctx, reach.Request{Key: key, Dial: dials}) {
		got[failure.Addr] = failure.Reason
		if failure.Reason == reach.Stranger && failure.Detail != errStranger.Error() {
			t.Errorf("%s: %q", failure.Endpoint, failure.Detail)
		}
	}
	want := map[netip.AddrPort]reach.Reason{
		dials[0].Addr: reach.Refused, dials[1].Addr: reach.Stranger, dials[3].Addr: reach.Silent, dials[4].Addr: reach.Refused,
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestATakenPortIsNamed(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	end := reach.Endpoint{Proto: "tcp", Addr: netip.MustParseAddrPort(taken.Addr().String())}
	report, err := command(t, "listen", strings.NewReader(line(t, reach.Request{Key: key, Listen: []reach.Endpoint{end}})))
	if err != nil || len(report.Failures) != 1 || report.Failures[0].Reason != reach.Busy {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestNobodyElseIsAnswered keeps the listeners from being of use to others.
func TestNobodyElseIsAnswered(t *testing.T) {
	other := bytes.Repeat([]byte{8}, 32)
	challenge := make([]byte, challengeSize)
	for name, asked := range map[string][]byte{
		"nothing": nil, "a challenge alone": challenge, "another key": question(other, challenge),
		"its own answer": append(challenge[:challengeSize:challengeSize], proof(key, "answer", challenge)...),
	} {
		if reply(key, asked) != nil {
			t.Errorf("%s is answered", name)
		}
	}
	if asked := question(key, challenge); len(reply(key, asked)) >= len(asked) || reply(key, asked) == nil {
		t.Error("an answer must be shorter than its question")
	}
}

func TestARequestThatNobodyMakesIsRefused(t *testing.T) {
	end := reach.Endpoint{Proto: "tcp", Addr: netip.MustParseAddrPort("127.0.0.1:1")}
	for name, request := range map[string]reach.Request{
		"no key":   {Dial: []reach.Dial{{Endpoint: end}}},
		"too many": {Key: key, Listen: make([]reach.Endpoint, reach.MaxEnds+1)},
		"no range": {Key: key, Dial: []reach.Dial{{Endpoint: end, Pods: netip.MustParsePrefix("10.244.0.1/16")}}},
		"no proto": {Key: key, Listen: []reach.Endpoint{{Addr: end.Addr}}},
		"no addr":  {Key: key, Dial: []reach.Dial{{Endpoint: reach.Endpoint{Proto: "udp"}}}},
	} {
		if _, err := command(t, "reach", strings.NewReader(line(t, request))); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := command(t, "listen", strings.NewReader("{}")); err == nil {
		t.Error("an empty request is taken")
	}
}
