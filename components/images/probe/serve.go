package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	maxEcho = 1 << 30  // bytes of /echo-size
	maxBody = 64 << 10 // bytes that /echo takes and gives back
)

// greeting is what GET / answers.
type greeting struct {
	Pod    string `json:"pod"`
	Node   string `json:"node"`
	Client string `json:"client"` // address of the caller as this server sees it, without port
}

// serve answers HTTP until SIGTERM, and after it for as long as --drain says,
// with /healthz failing, so that a Service has time to look elsewhere. On the
// UDP port of the same number every datagram comes back.
func serve(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	port := flags.Int("port", 8080, "TCP port")
	drain := flags.Duration("drain", 0, "go on serving for this long after SIGTERM")
	if _, err := parse(flags, args, 0); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	listener, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(*port)))
	if err != nil {
		return err
	}
	defer listener.Close()
	datagrams, err := net.ListenPacket("udp", listener.Addr().String())
	if err != nil {
		return err
	}
	defer datagrams.Close()
	go echo(ctx, datagrams)
	fmt.Fprintf(out, "serving on %s\n", listener.Addr())

	var draining atomic.Bool
	server := &http.Server{Handler: handler(&draining), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		draining.Store(true)
		time.Sleep(*drain)
		last, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		server.Shutdown(last)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func handler(draining *atomic.Bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		client, _, _ := net.SplitHostPort(r.RemoteAddr)
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(greeting{Pod: os.Getenv("POD_NAME"), Node: os.Getenv("NODE_NAME"), Client: client})
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if draining.Load() {
			http.Error(w, "shutting down", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /echo-size", echoSize)
	mux.HandleFunc("POST /echo", echoBody)
	return mux
}

// echoBody answers with what it was sent.
func echoBody(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, fmt.Sprintf("a body of at most %d bytes", maxBody), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Write(body)
}

// echoSize answers with as many bytes as ?bytes= says: large answers find MTU
// mistakes that small ones pass.
func echoSize(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.URL.Query().Get("bytes"), 10, 64)
	if err != nil || n < 0 || n > maxEcho {
		http.Error(w, "bytes must be a number from 0 to 2^30", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	block := make([]byte, 64<<10)
	for i := range block {
		block[i] = 'x'
	}
	for n > 0 {
		written, err := w.Write(block[:min(n, int64(len(block)))])
		if err != nil {
			return
		}
		n -= int64(written)
	}
}
