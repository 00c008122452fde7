package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	requests  = 8
	datagrams = 4
	body      = 900 // bytes of each: what is lost on a narrow path is another check's affair
	resend    = 200 * time.Millisecond
	maxTarget = 1000
	together  = 16 // targets asked side by side
)

// exchange sends a text over and over to servers of ours, over TCP and UDP, and
// wants it back: whoever listens on the way sees it both ways, or sees nothing.
func exchange(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("exchange", flag.ContinueOnError)
	marker := flags.String("marker", "", "the text, of 8 to 200 bytes")
	to := flags.String("to", "", "address:port,... of the servers")
	timeout := flags.Duration("timeout", 5*time.Second, "for all of it")
	if _, err := parse(flags, args, 0); err != nil {
		return err
	}
	targets := strings.Split(*to, ",")
	if len(*marker) < 8 || len(*marker) > 200 || *to == "" || len(targets) > maxTarget {
		return fmt.Errorf("%w: a marker of 8 to 200 bytes, and 1 to %d servers", errUsage, maxTarget)
	}
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	errs := make([]error, len(targets))
	slots := make(chan struct{}, together)
	var all sync.WaitGroup
	for i, target := range targets {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = errors.Join(
				about(target+": tcp", overTCP(ctx, target, fill(*marker, body))),
				about(target+": udp", overUDP(ctx, target, fill(*marker, body))))
		})
	}
	all.Wait()
	fmt.Fprintf(out, "%d servers\n", len(targets))
	return errors.Join(errs...)
}

func about(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func fill(text string, size int) []byte {
	return bytes.Repeat([]byte(text), size/len(text))
}

// overTCP tries again while there is time: the tunnel may just be shaking hands.
func overTCP(ctx context.Context, target string, payload []byte) error {
	transport := &http.Transport{Proxy: nil}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 2 * time.Second}
	for back := 0; back < requests; {
		err := func() error {
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+target+"/echo", bytes.NewReader(payload))
			if err != nil {
				return err
			}
			response, err := client.Do(request)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			back, err := io.ReadAll(io.LimitReader(response.Body, int64(len(payload))+1))
			if err := statusError(response, err); err != nil {
				return err
			}
			if !bytes.Equal(back, payload) {
				return fmt.Errorf("something else came back, of %d bytes", len(back))
			}
			return nil
		}()
		if err == nil {
			back++
			continue
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(resend):
		}
	}
	return nil
}

func overUDP(ctx context.Context, target string, payload []byte) error {
	conn, err := new(net.Dialer).DialContext(ctx, "udp", target)
	if err != nil {
		return err
	}
	defer conn.Close()
	answer := make([]byte, 64<<10)
	for back := 0; back < datagrams; {
		if ctx.Err() != nil {
			return fmt.Errorf("%d of %d datagrams came back", back, datagrams)
		}
		if _, err = conn.Write(payload); err == nil {
			conn.SetReadDeadline(time.Now().Add(resend))
			var n int
			if n, err = conn.Read(answer); err == nil && bytes.Equal(answer[:n], payload) {
				back++
				continue
			}
		}
		select { // refused at once, say: the server may be starting
		case <-ctx.Done():
		case <-time.After(resend / 10):
		}
	}
	return nil
}
