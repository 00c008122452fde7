package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"time"
)

// get fetches a URL, each time over a connection of its own, and prints each
// body on a line. It fails where one request did, after having tried all.
func get(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("get", flag.ContinueOnError)
	timeout := flags.Duration("timeout", 5*time.Second, "for each request")
	count := flags.Int("count", 1, "number of requests")
	quiet := flags.Bool("size", false, "print the body's size in bytes instead of the body")
	rest, err := parse(flags, args, 1)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}}
	var last error
	failed := 0
	for range *count {
		if err := getOnce(client, rest[0], *timeout, *quiet, out); err != nil {
			failed++
			last = err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d requests went wrong, the last: %w", failed, *count, last)
	}
	return nil
}

func getOnce(client *http.Client, url string, timeout time.Duration, sizeOnly bool, out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if sizeOnly {
		n, err := io.Copy(io.Discard, response.Body)
		fmt.Fprintln(out, n)
		return statusError(response, err)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	fmt.Fprintf(out, "%s\n", bytes.TrimRight(body, "\n"))
	return statusError(response, err)
}

func statusError(response *http.Response, err error) error {
	if err == nil && response.StatusCode/100 != 2 {
		return fmt.Errorf("status %s", response.Status)
	}
	return err
}
