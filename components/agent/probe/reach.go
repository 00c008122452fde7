package probe

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"provision/components/reach"
)

const (
	maxRequest = 1 << 20
	pause      = 40 * time.Millisecond  // before a refused dial is tried again: the listener may be starting
	resend     = 100 * time.Millisecond // between two datagrams
	sideBySide = 128
)

func newReachCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reach",
		Short: "Dial other machines' listeners as stdin says, and say who does not answer",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			request, err := readRequest(bufio.NewReader(io.LimitReader(command.InOrStdin(), maxRequest)))
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(command.Context(), reach.Patience)
			defer cancel()
			failures := dialAll(ctx, request)
			walls, err := walled(request)
			if err != nil {
				return err
			}
			return answer(command.OutOrStdout(), append(failures, walls...))
		},
	}
}

// readRequest reads one line of JSON: a listener's standard input stays open.
func readRequest(in *bufio.Reader) (reach.Request, error) {
	var request reach.Request
	line, err := in.ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return request, fmt.Errorf("input: %w", err)
	}
	if err := json.Unmarshal(line, &request); err != nil {
		return request, fmt.Errorf("input: %w", err)
	}
	return request, request.Check()
}

func answer(out io.Writer, failures []reach.Failure) error {
	if failures == nil {
		failures = []reach.Failure{}
	}
	return json.NewEncoder(out).Encode(reach.Report{Failures: failures[:min(len(failures), reach.MaxAnswer)]})
}

// dialAll tries every endpoint side by side and returns those not reached, in
// the order of the request.
func dialAll(ctx context.Context, request reach.Request) []reach.Failure {
	failures := make([]*reach.Failure, len(request.Dial))
	slots := make(chan struct{}, sideBySide)
	var all sync.WaitGroup
	for i, dial := range request.Dial {
		if dial.Pods.IsValid() {
			continue // see walled
		}
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := try(ctx, dial, request.Key); err != nil {
				failures[i] = &reach.Failure{Endpoint: dial.Endpoint, Reason: reason(err), Detail: lastWords(err)}
			}
		})
	}
	all.Wait()
	var failed []reach.Failure
	for _, failure := range failures {
		if failure != nil {
			failed = append(failed, *failure)
		}
	}
	return failed
}

// try dials until it is answered, or ctx ends: a refusal shortly before that
// counts for more than the attempt that was cut short. An earlier one does not:
// the listener was only starting.
func try(ctx context.Context, dial reach.Dial, key []byte) error {
	var refused error
	var at time.Time
	for {
		err := once(ctx, dial, key)
		if err == nil || errors.Is(err, errStranger) || reason(err) == reach.NoRoute {
			return err
		}
		if reason(err) == reach.Refused {
			refused, at = err, time.Now()
		}
		select {
		case <-ctx.Done():
			if refused != nil && time.Since(at) < time.Second {
				return refused
			}
			return err
		case <-time.After(pause):
		}
	}
}

var errStranger = errors.New("something else answers")

// once makes one attempt: a connection, and within it the proof that the other
// end belongs to the same trial.
func once(ctx context.Context, dial reach.Dial, key []byte) error {
	conn, err := new(net.Dialer).DialContext(ctx, dial.Proto, dial.Addr.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if dial.Open {
		return nil
	}
	deadline, _ := ctx.Deadline()
	if dial.Proto == "udp" {
		if soon := time.Now().Add(resend); soon.Before(deadline) {
			deadline = soon
		}
	}
	conn.SetDeadline(deadline)
	challenge := make([]byte, challengeSize)
	rand.Read(challenge) // never fails
	if _, err := conn.Write(question(key, challenge)); err != nil {
		return err
	}
	got := make([]byte, sha256.Size)
	if _, err := io.ReadFull(conn, got); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errStranger
	} else if err != nil {
		return err
	}
	if !hmac.Equal(got, proof(key, "answer", challenge)) {
		return errStranger
	}
	return nil
}

const challengeSize = 16

// question is a challenge that only the trial's own listeners answer, with less
// than they were sent.
func question(key, challenge []byte) []byte {
	return slices.Concat(challenge, proof(key, "question", challenge))
}

func proof(key []byte, of string, challenge []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(of))
	mac.Write(challenge)
	return mac.Sum(nil)
}

// reason sorts an error of the network.
func reason(err error) reach.Reason {
	for _, no := range []error{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EACCES, syscall.EPERM, syscall.EINVAL} {
		if errors.Is(err, no) {
			return reach.NoRoute
		}
	}
	switch {
	case errors.Is(err, errStranger):
		return reach.Stranger
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return reach.Refused
	default:
		return reach.Silent
	}
}

// lastWords is what the system said, without what is known of the attempt.
func lastWords(err error) string {
	words := strings.Split(err.Error(), ": ")
	return words[len(words)-1]
}
