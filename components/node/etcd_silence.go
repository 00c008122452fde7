package main

import (
	"context"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// silentFor is how long a peer's connection may go without an answer before the
// kernel ends it. After a cut, a member that reads another's stream would otherwise
// wait for TCP's own retries, tens of seconds: upstream gives its transport a Dial
// with time-outs beside a DialContext without any, and net/http takes the latter.
const silentFor = 5 * time.Second

// silenceEvery is how often new connections are looked for.
const silenceEvery = time.Second

// endSilence has the kernel end connections of this process at that port, its own or
// the other side's, whose other side has fallen silent, until ctx is done.
func endSilence(ctx context.Context, port uint16) {
	ticks := time.NewTicker(silenceEvery)
	defer ticks.Stop()
	told := map[string]bool{} // sockets that have heard it, by their inode
	for {
		told = tell(port, told)
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}

// tell sets the options of sockets that have not got them, and returns those there are.
func tell(port uint16, told map[string]bool) map[string]bool {
	const descriptors = "/proc/self/fd"
	entries, err := os.ReadDir(descriptors)
	if err != nil {
		return told
	}
	now := map[string]bool{}
	for _, entry := range entries {
		name, err := os.Readlink(descriptors + "/" + entry.Name())
		if err != nil || len(name) < 8 || name[:8] != "socket:[" {
			continue
		}
		now[name] = true
		if fd, err := strconv.Atoi(entry.Name()); err == nil && !told[name] && ofPort(fd, port) {
			limit(fd)
		}
	}
	return now
}

// ofPort says that a socket is a TCP connection from or to the port.
func ofPort(fd int, port uint16) bool {
	for _, ask := range []func(int) (unix.Sockaddr, error){unix.Getsockname, unix.Getpeername} {
		name, err := ask(fd)
		if err != nil {
			return false // not connected, or closed meanwhile
		}
		switch at := name.(type) {
		case *unix.SockaddrInet4:
			if at.Port == int(port) {
				return true
			}
		case *unix.SockaddrInet6:
			if at.Port == int(port) {
				return true
			}
		}
	}
	return false
}

// limit ends a connection after silentFor, whether it waits for an answer or has
// nothing to say. A descriptor that is another's by now only fails to take these.
func limit(fd int) {
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silentFor/time.Millisecond))
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 2)
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 1)
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3)
}

// portOf is the port of "host:port", 0 where there is none.
func portOf(host string) uint16 {
	_, text, err := net.SplitHostPort(host)
	if err != nil {
		return 0
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0
	}
	return uint16(port)
}
