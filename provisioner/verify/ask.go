package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// greeting is what a probe answers to GET /.
type greeting struct {
	Pod, Node, Client string
}

// probePort is where probes listen; a Service of theirs has port 80.
const probePort = 8080

func urlOf(address string, port int, path string) string {
	return "http://" + net.JoinHostPort(address, strconv.Itoa(port)) + path
}

// inPod runs the probe in a pod. The error is the last thing it said.
func (s *stage) inPod(ctx context.Context, from pod, args ...string) (string, error) {
	stdout, stderr, err := s.cluster.Exec(ctx, s.namespace, from.name, append([]string{"/bin/probe"}, args...))
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(stderr)), "\n")
		if last := lines[len(lines)-1]; last != "" {
			return "", errors.New(last)
		}
		return "", err
	}
	return string(stdout), nil
}

// errNoAddress is of a Service which should have an address of IPv6.
var errNoAddress = errFinal{errors.New("the Service has no address of IPv6")}

// ask has a pod fetch a probe's greeting.
func (s *stage) ask(ctx context.Context, from pod, address string, port int) (greeting, error) {
	if address == "" {
		return greeting{}, errNoAddress
	}
	text, err := s.inPod(ctx, from, "get", "--timeout", "2s", urlOf(address, port, "/"))
	if err != nil {
		return greeting{}, err
	}
	return parseGreeting([]byte(text))
}

// askFrom fetches a probe's greeting over a connection that begins on a machine.
func (s *stage) askFrom(ctx context.Context, from Machine, address string, port int) (greeting, error) {
	if from.Dial == nil {
		return greeting{}, errFinal{errors.New("the machine cannot be reached")}
	}
	if address == "" {
		return greeting{}, errNoAddress
	}
	return fetchGreeting(ctx, from, urlOf(address, port, "/"), 2*time.Second)
}

func fetchGreeting(ctx context.Context, from Machine, target string, timeout time.Duration) (greeting, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		// Transport would let a dial go on when its request is given up, and a
		// dead machine's never end.
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return from.Dial(ctx, network, address)
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return greeting{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return greeting{}, fmt.Errorf("%s: %w", target, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return greeting{}, fmt.Errorf("%s: %w", target, err)
	}
	if response.StatusCode != http.StatusOK {
		return greeting{}, fmt.Errorf("%s: status %s", target, response.Status)
	}
	return parseGreeting(body)
}

func parseGreeting(text []byte) (greeting, error) {
	var g greeting
	if err := json.Unmarshal(bytes.TrimSpace(text), &g); err != nil || g.Pod == "" {
		return g, fmt.Errorf("something else answered: %.80q", text)
	}
	return g, nil
}
