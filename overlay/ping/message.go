package ping

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A message is 16 bytes, and padded where a large one is to be tried:
//
//	0  "pvpq" asks, "pvpa" answers
//	4  cookie of who asked
//	12 sequence number
const smallest = 16

const (
	asking    = "pvpq"
	answering = "pvpa"
)

type message struct {
	asks     bool
	cookie   [8]byte
	sequence uint32
}

func question(cookie [8]byte, sequence uint32, size int) []byte {
	b := make([]byte, max(size, smallest))
	copy(b, asking)
	copy(b[4:], cookie[:])
	binary.BigEndian.PutUint32(b[12:], sequence)
	return b
}

// answer is small, whatever was asked: the way back is the other side's to
// measure, and nobody gets more than they sent.
func answer(m message) []byte {
	b := question(m.cookie, m.sequence, smallest)
	copy(b, answering)
	return b
}

func parse(b []byte) (m message, ok bool) {
	if len(b) < smallest {
		return m, false
	}
	m.asks = string(b[:4]) == asking
	copy(m.cookie[:], b[4:])
	m.sequence = binary.BigEndian.Uint32(b[12:])
	return m, m.asks || string(b[:4]) == answering
}

// headers returns the bytes that IP and UDP put before a payload.
func headers(a netip.Addr) int {
	if a.Is4() {
		return 20 + 8
	}
	return 40 + 8
}

// open returns a socket whose packets are never cut into pieces: one that is too
// large for the way is lost, which is what is to be found out.
func open(local netip.AddrPort) (*net.UDPConn, error) {
	network, level, option := "udp4", unix.IPPROTO_IP, unix.IP_MTU_DISCOVER
	if local.Addr().Is6() {
		network, level, option = "udp6", unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(local))
	if err != nil {
		return nil, fmt.Errorf("measure the tunnel: %w", err)
	}
	raw, err := conn.SyscallConn()
	if err == nil {
		var failed error
		err = raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), level, option, unix.IP_PMTUDISC_PROBE) })
		err = errors.Join(err, failed)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("measure the tunnel: keep packets whole: %w", err), conn.Close())
	}
	return conn, nil
}
