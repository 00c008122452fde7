package balancer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// checker looks at servers. Anonymous requests are allowed on an API server's
// health paths, so it has no identity of its own.
type checker struct {
	interval, timeout time.Duration
	authorities       *x509.CertPool
}

// watch looks at one server until the context ends.
func (c checker) watch(ctx context.Context, address netip.AddrPort, report func(verdict, string)) {
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: c.authorities, MinVersion: tls.VersionTLS12},
		DialContext:         (&net.Dialer{Timeout: c.timeout}).DialContext,
		MaxIdleConnsPerHost: 1, // one connection for all looks: a handshake each would cost both sides
		DisableCompression:  true,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport:     transport,
		Timeout:       c.timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	ticker := time.NewTicker(c.interval)
	defer ticker.Stop()
	for {
		found, why := look(ctx, client, "https://"+address.String()+"/readyz")
		if ctx.Err() != nil {
			return
		}
		report(found, why)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func look(ctx context.Context, client *http.Client, url string) (verdict, string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return silent, err.Error()
	}
	response, err := client.Do(request)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return refusing, "connection refused"
		}
		var dial *net.OpError
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() && !(errors.As(err, &dial) && dial.Op == "dial") {
			return late, err.Error()
		}
		return silent, err.Error()
	}
	defer response.Body.Close()
	// The body is read so that the connection can be used again.
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)); err != nil {
		return silent, err.Error()
	}
	if response.StatusCode != http.StatusOK {
		return waiting, fmt.Sprintf("/readyz: %s", response.Status)
	}
	return serving, ""
}
