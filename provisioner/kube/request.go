package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxResponse is the most that is read of one response, in bytes.
const maxResponse = 64 << 20

// StatusError is a request that the API server answered with a refusal.
type StatusError struct {
	Method, Path string
	Code         int    // HTTP's
	Reason       string // Kubernetes' word: "NotFound"; may be empty
	Message      string // its sentence; may be empty
	RetryAfter   time.Duration
}

// Error names the request and what the server said about it.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s %s: %d %s", e.Method, e.Path, e.Code, http.StatusText(e.Code))
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// Is makes a 404 match fs.ErrNotExist and a 409 fs.ErrExist.
func (e *StatusError) Is(target error) bool {
	return target == fs.ErrNotExist && e.Code == http.StatusNotFound ||
		target == fs.ErrExist && e.Code == http.StatusConflict
}

// HTTPStatus is Code, for who does not know this package.
func (e *StatusError) HTTPStatus() int { return e.Code }

// Do sends one request and returns the body of the answer. It does not retry.
// A status outside 200-299 is a *StatusError.
func (c *Client) Do(ctx context.Context, method, path, contentType string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "https://"+c.endpoint.hostPort()+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "provision")
	path = request.URL.Path // without the query, which only makes errors long
	response, err := c.http.Do(request)
	if err != nil {
		// url.Error repeats the method and the whole URL.
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxResponse+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	case len(data) > maxResponse:
		return nil, fmt.Errorf("%s %s: the answer is larger than %d MiB", method, path, maxResponse>>20)
	case response.StatusCode < 200 || response.StatusCode > 299:
		return nil, statusError(method, path, response, data)
	}
	return data, nil
}

func statusError(method, path string, response *http.Response, body []byte) *StatusError {
	result := &StatusError{Method: method, Path: path, Code: response.StatusCode}
	var status struct{ Kind, Reason, Message string }
	if json.Unmarshal(body, &status) == nil && status.Kind == "Status" {
		result.Reason, result.Message = status.Reason, status.Message
	} else {
		result.Message = notOK(string(body))
	}
	if seconds, err := time.ParseDuration(response.Header.Get("Retry-After") + "s"); err == nil {
		result.RetryAfter = seconds
	}
	return result
}

// notOK shortens what /readyz says to the checks that fail, and any other text
// to a line.
func notOK(text string) string {
	var failing []string
	for line := range strings.Lines(text) {
		if rest, is := strings.CutPrefix(line, "[-]"); is {
			name, _, _ := strings.Cut(rest, " ")
			failing = append(failing, strings.TrimSpace(name))
		}
	}
	if len(failing) > 0 {
		return "not ready: " + strings.Join(failing, ", ")
	}
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line[:min(len(line), 200)]
}

// Ready waits until the API server's /readyz says yes, or ctx ends. The error
// says what was missing last.
func (c *Client) Ready(ctx context.Context) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err := c.Do(attempt, http.MethodGet, "/readyz", "", nil)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: API server is not ready: %w", c.Master(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
