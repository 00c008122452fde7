package kube

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// gate is an HTTP proxy on loopback that leads to one API server and nowhere
// else. It is for the code of upstream that dials for itself (exec, attach,
// port-forward). TLS passes through it from end to end; a token that only this
// process knows keeps the machine's other users out.
type gate struct {
	listener net.Listener
	token    string
	target   string
	dial     func(ctx context.Context, network, address string) (net.Conn, error)

	ctx    context.Context // ends with close, and every connection with it
	cancel context.CancelFunc
	served sync.WaitGroup
}

func openGate(target string, dial func(ctx context.Context, network, address string) (net.Conn, error)) (*gate, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g := &gate{listener: listener, token: rand.Text(), target: target, dial: dial}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			g.served.Go(func() { g.serve(conn) })
		}
	})
	return g, nil
}

// url is what a client gives as its proxy.
func (g *gate) url() *url.URL {
	return &url.URL{Scheme: "http", User: url.UserPassword("provision", g.token), Host: g.listener.Addr().String()}
}

func (g *gate) close() {
	g.cancel()
	g.listener.Close()
	g.served.Wait()
}

func (g *gate) serve(near net.Conn) {
	defer near.Close()
	stop := context.AfterFunc(g.ctx, func() { near.Close() })
	defer stop()
	near.SetDeadline(time.Now().Add(10 * time.Second))
	reader := bufio.NewReader(near)
	request, err := http.ReadRequest(reader)
	if err != nil {
		return
	}
	wanted := "Basic " + base64.StdEncoding.EncodeToString([]byte("provision:"+g.token))
	switch {
	case subtle.ConstantTimeCompare([]byte(request.Header.Get("Proxy-Authorization")), []byte(wanted)) == 0:
		io.WriteString(near, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
		return
	case request.Method != http.MethodConnect || request.RequestURI != g.target:
		io.WriteString(near, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
		return
	}
	ctx, cancel := context.WithTimeout(g.ctx, 15*time.Second)
	far, err := g.dial(ctx, "tcp", g.target)
	cancel()
	if err != nil {
		io.WriteString(near, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer far.Close()
	stopFar := context.AfterFunc(g.ctx, func() { far.Close() })
	defer stopFar()
	near.SetDeadline(time.Time{})
	if _, err := io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	var pipes sync.WaitGroup
	pipes.Go(func() {
		io.Copy(far, reader)
		closeWrite(far)
	})
	io.Copy(near, far)
	closeWrite(near)
	pipes.Wait()
}

// closeWrite passes an end of file on, or the whole connection where it cannot
// be closed by halves.
func closeWrite(conn net.Conn) {
	if half, is := conn.(interface{ CloseWrite() error }); is {
		half.CloseWrite()
		return
	}
	conn.Close()
}
