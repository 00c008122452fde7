package sshtest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"
)

// connection is one client's.
type connection struct {
	server   *Server
	conn     *wire
	mu       sync.Mutex
	sessions int
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.stats.Connections++
		refuse := s.refusing > 0
		if refuse {
			s.refusing--
		}
		s.mu.Unlock()
		if refuse {
			conn.Close()
			continue
		}
		if s.options.Accepted != nil {
			conn = s.options.Accepted(conn)
		}
		c := &connection{server: s, conn: &wire{Conn: conn, frozen: make(chan struct{}), closed: make(chan struct{})}}
		s.mu.Lock()
		s.open[c] = true
		s.mu.Unlock()
		s.live.Go(func() {
			c.serve()
			c.conn.Close()
			s.mu.Lock()
			delete(s.open, c)
			s.mu.Unlock()
		})
	}
}

func (c *connection) config() *ssh.ServerConfig {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	config := &ssh.ServerConfig{MaxAuthTries: s.options.MaxAuthTries}
	config.PublicKeyCallback = func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stats.KeysOffered++
		for _, allowed := range s.allowed {
			if meta.User() == s.User && bytes.Equal(key.Marshal(), allowed.Marshal()) {
				return nil, nil
			}
		}
		return nil, errors.New("not this one")
	}
	if s.options.Banner != "" {
		config.BannerCallback = func(ssh.ConnMetadata) string { return s.options.Banner }
	}
	config.AddHostKey(s.hostKey)
	return config
}

func (c *connection) serve() {
	conn, channels, requests, err := ssh.NewServerConn(c.conn, c.config())
	if err != nil {
		return
	}
	c.server.note(func(s *Stats) { s.Logins++ })
	var live sync.WaitGroup
	defer live.Wait()
	defer conn.Close()
	live.Go(func() {
		for request := range requests {
			if request.WantReply {
				request.Reply(false, nil) // as sshd answers keep-alives
			}
		}
	})
	for channel := range channels {
		switch channel.ChannelType() {
		case "session":
			if !c.enter() {
				channel.Reject(ssh.ConnectionFailed, "open failed")
				continue
			}
			live.Go(func() { c.session(channel) })
		case "direct-tcpip":
			live.Go(func() { c.forward(channel) })
		default:
			channel.Reject(ssh.UnknownChannelType, "unknown")
		}
	}
}

// enter counts a session, where there is room for it.
func (c *connection) enter() bool {
	most := c.server.options.MaxSessions
	if most == 0 {
		most = 10
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sessions == most {
		return false
	}
	c.sessions++
	now := c.sessions
	c.server.note(func(s *Stats) { s.Sessions = max(s.Sessions, now) })
	return true
}

func (c *connection) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sessions--
}

func (c *connection) forward(channel ssh.NewChannel) {
	var to struct {
		Host   string
		Port   uint32
		Origin string
		Source uint32
	}
	if c.server.options.NoForward || ssh.Unmarshal(channel.ExtraData(), &to) != nil {
		channel.Reject(ssh.Prohibited, "administratively prohibited")
		return
	}
	address := net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port)))
	c.server.note(func(s *Stats) { s.Forwarded = append(s.Forwarded, address) })
	dial := c.server.options.Dial
	if dial == nil {
		dial = func(address string) (net.Conn, error) { return net.Dial("tcp", address) }
	}
	conn, err := dial(address)
	if err != nil {
		channel.Reject(ssh.ConnectionFailed, "Connection refused")
		return
	}
	defer conn.Close()
	stream, requests, err := channel.Accept()
	if err != nil {
		return
	}
	defer stream.Close()
	go ssh.DiscardRequests(requests)
	var both sync.WaitGroup
	both.Go(func() {
		io.Copy(conn, stream)
		conn.(*net.TCPConn).CloseWrite()
	})
	both.Go(func() {
		io.Copy(stream, conn)
		stream.CloseWrite()
	})
	both.Wait()
}

// wire is a connection that can fall silent.
type wire struct {
	net.Conn
	once   sync.Once
	frozen chan struct{}
	shut   sync.Once
	closed chan struct{}
}

func (w *wire) freeze() { w.once.Do(func() { close(w.frozen) }) }

func (w *wire) Close() error {
	w.shut.Do(func() { close(w.closed) })
	return w.Conn.Close()
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	select {
	case <-w.frozen:
		<-w.closed
		return 0, net.ErrClosed
	default:
		return n, err
	}
}

func (w *wire) Write(p []byte) (int, error) {
	select {
	case <-w.frozen:
		<-w.closed
		return 0, net.ErrClosed
	default:
		return w.Conn.Write(p)
	}
}
