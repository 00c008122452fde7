package main

import (
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func timeout(t *testing.T, conn net.Conn) (milliseconds int) {
	t.Helper()
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		milliseconds, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	})
	if err != nil {
		t.Fatal(err)
	}
	return milliseconds
}

// Both ends of a connection at the port are told, once, and no other.
func TestConnectionsThatFallSilentEnd(t *testing.T) {
	pair := func() (port uint16, near, far net.Conn) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		if near, err = net.Dial("tcp", listener.Addr().String()); err != nil {
			t.Fatal(err)
		}
		if far, err = listener.Accept(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { near.Close(); far.Close() })
		return portOf(listener.Addr().String()), near, far
	}
	port, near, far := pair()
	_, other, _ := pair()
	told := tell(port, nil)
	for name, conn := range map[string]net.Conn{"dialed": near, "accepted": far} {
		if got := timeout(t, conn); got != 5000 {
			t.Errorf("%s: %d ms", name, got)
		}
	}
	if got := timeout(t, other); got != 0 {
		t.Errorf("a connection elsewhere: %d ms", got)
	}
	if again := tell(port, told); len(again) != len(told) {
		t.Errorf("%d sockets, then %d", len(told), len(again))
	}
}
