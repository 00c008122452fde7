package handover

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// asked is how many connections are asked for their proof at once: others wait.
const asked = 16

// proofTime is what a connection has for its proof.
const proofTime = 5 * time.Second

// ErrNobody is an offer that nobody took.
var ErrNobody = errors.New("nobody came for it")

// lineSize is that of a challenge and of its answer: hexadecimal, and a line's end.
const lineSize = 2*sha256.Size + 1

// proof answers a challenge, and is worth nothing for any other: the SHA-256 of the
// token and the challenge, both of a fixed size, as sh can make it too.
func proof(token, challenge string) string {
	sum := sha256.Sum256([]byte(token + challenge))
	return hex.EncodeToString(sum[:])
}

// Give hands something over, by send, to the first connection that proves to know
// the token, and to no other: it closes the listener then. It ends with ErrNobody
// where none comes in time.
func Give(ctx context.Context, listener net.Listener, token string, send func(io.Writer) error) error {
	ctx, cancel := context.WithTimeout(ctx, Waits+Longest)
	defer cancel()
	taken := make(chan net.Conn)
	waiting, stop := context.WithTimeoutCause(ctx, Waits, ErrNobody)
	defer stop()
	var asking sync.WaitGroup
	asking.Go(func() { ask(waiting, listener, token, taken, &asking) })
	var taker net.Conn
	select {
	case taker = <-taken:
	case <-waiting.Done():
	}
	stop()
	listener.Close()
	asking.Wait()
	if taker == nil {
		return context.Cause(waiting)
	}
	defer taker.Close()
	broken := context.AfterFunc(ctx, func() { taker.Close() })
	defer broken()
	return send(patient{taker})
}

// ask lets connections prove that they know the token until ctx ends.
func ask(ctx context.Context, listener net.Listener, token string, taken chan<- net.Conn, all *sync.WaitGroup) {
	slots := make(chan struct{}, asked)
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			conn.Close()
			return
		}
		all.Go(func() {
			defer func() { <-slots }()
			stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })
			if knows(conn, token) && stop() {
				select {
				case taken <- conn:
					return
				case <-ctx.Done():
				}
			}
			conn.Close()
		})
	}
}

// knows challenges a connection.
func knows(conn net.Conn, token string) bool {
	conn.SetDeadline(time.Now().Add(proofTime))
	challenge := NewToken()
	if _, err := io.WriteString(conn, challenge+"\n"); err != nil {
		return false
	}
	answer := make([]byte, lineSize)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return false
	}
	return subtle.ConstantTimeCompare(answer, []byte(proof(token, challenge)+"\n")) == 1
}

// NewToken is 32 random bytes in hexadecimal.
func NewToken() string {
	random := make([]byte, sha256.Size)
	rand.Read(random) // never fails
	return hex.EncodeToString(random)
}

// Take connects to a machine that gives and proves to know the token. What it
// returns is the stream; reading it fails where nothing comes for Stall, or after
// Longest.
func Take(ctx context.Context, source Source) (io.ReadCloser, error) {
	dialer := net.Dialer{Timeout: Reach}
	conn, err := dialer.DialContext(ctx, "tcp", source.At.String())
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(Reach))
	in := bufio.NewReaderSize(io.LimitReader(conn, lineSize), lineSize)
	challenge, err := in.ReadString('\n')
	if err == nil {
		_, err = io.WriteString(conn, proof(source.Token, challenge[:len(challenge)-1])+"\n")
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &taking{conn: conn, until: time.Now().Add(Longest), stall: Stall}, nil
}

// patient is a connection to which a write may take Stall.
type patient struct{ conn net.Conn }

func (p patient) Write(b []byte) (int, error) {
	p.conn.SetWriteDeadline(time.Now().Add(Stall))
	return p.conn.Write(b)
}

// taking is a connection that is read from.
type taking struct {
	conn  net.Conn
	until time.Time
	stall time.Duration
}

func (t *taking) Read(b []byte) (int, error) {
	end := time.Now().Add(t.stall)
	if end.After(t.until) {
		end = t.until
	}
	t.conn.SetReadDeadline(end)
	return t.conn.Read(b)
}

func (t *taking) Close() error { return t.conn.Close() }
