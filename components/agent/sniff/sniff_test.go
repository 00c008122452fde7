package sniff

import (
	"bufio"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"provision/components/wire"
)

const marker = "NOBODYSHOULDSEETHIS"

// udp4 makes an IPv4 packet of UDP.
func udp4(from, to uint16, payload string) []byte {
	header := make([]byte, 28)
	header[0], header[9] = 0x45, protocolUDP
	binary.BigEndian.PutUint16(header[20:], from)
	binary.BigEndian.PutUint16(header[22:], to)
	return append(header, payload...)
}

func udp6(from, to uint16, payload string) []byte {
	header := make([]byte, 40)
	header[0], header[6] = 0x60, protocolUDP
	return append(header, udp4(from, to, payload)[20:]...)
}

// of makes a packet one of another protocol, which its header has at a place.
func of(at int, protocol byte, packet []byte) []byte {
	packet[at] = protocol
	return packet
}

func TestCount(t *testing.T) {
	message := "\x04\x00\x00\x00 sealed"
	fragment := udp4(51820, 51820, message)
	fragment[7] = 8
	tcp := udp4(51820, 40000, message)
	tcp[9] = unix.IPPROTO_TCP
	options := append(append([]byte{0x46}, udp4(0, 0, "")[1:20]...), append(make([]byte, 4), udp4(51820, 9, message)[20:]...)...)
	for name, test := range map[string]struct {
		packet []byte
		want   wire.Link
	}{
		"WireGuard":                  {udp4(51820, 1024, message), wire.Link{Packets: 1, WireGuard: 1}},
		"WireGuard to the port":      {udp4(1024, 51820, message), wire.Link{Packets: 1, WireGuard: 1}},
		"WireGuard over IPv6":        {udp6(1024, 51820, message), wire.Link{Packets: 1, WireGuard: 1}},
		"with options":               {options, wire.Link{Packets: 1, WireGuard: 1}},
		"another port":               {udp4(1024, 1025, message), wire.Link{Packets: 1}},
		"something else at the port": {udp4(1024, 51820, "GET / HTTP"), wire.Link{Packets: 1}},
		"no kind of message":         {udp4(1024, 51820, "\x05\x00\x00\x00 sealed"), wire.Link{Packets: 1}},
		"a later fragment":           {fragment, wire.Link{Packets: 1}},
		"TCP":                        {tcp, wire.Link{Packets: 1}},
		"in clear":                   {udp4(8080, 8080, "..."+marker+"..."), wire.Link{Packets: 1, Clear: 1, As: wire.Kinds{UDP4: 1}}},
		"in clear over IPv6":         {udp6(8080, 8080, marker), wire.Link{Packets: 1, Clear: 1, As: wire.Kinds{UDP6: 1}}},
		"in clear, of TCP":           {of(9, unix.IPPROTO_TCP, udp4(8080, 8080, marker)), wire.Link{Packets: 1, Clear: 1, As: wire.Kinds{TCP4: 1}}},
		"in clear, of IPv6's TCP":    {of(6, unix.IPPROTO_TCP, udp6(8080, 8080, marker)), wire.Link{Packets: 1, Clear: 1, As: wire.Kinds{TCP6: 1}}},
		"in clear, of neither":       {of(9, unix.IPPROTO_GRE, udp4(8080, 8080, marker)), wire.Link{Packets: 1, Clear: 1}},
		"in a VXLAN of somebody's":   {udp4(4789, 4789, string(udp4(1, 2, marker))), wire.Link{Packets: 1, Clear: 1, As: wire.Kinds{UDP4: 1}}},
		"a part of the marker":       {udp4(8080, 8080, marker[1:]), wire.Link{Packets: 1}},
		"WireGuard that leaks":       {udp4(51820, 51820, message+marker), wire.Link{Packets: 1, WireGuard: 1, Clear: 1, As: wire.Kinds{UDP4: 1}}},
		"torn":                       {udp4(51820, 51820, message)[:25], wire.Link{Packets: 1}},
		"nothing":                    {nil, wire.Link{Packets: 1}},
		"a header that lies":         {append([]byte{0x4f}, udp4(51820, 51820, message)[1:28]...), wire.Link{Packets: 1}},
		"short for IPv6":             {udp6(51820, 51820, message)[:44], wire.Link{Packets: 1}},
	} {
		var got wire.Link
		count(&got, test.packet, wire.Request{Marker: marker, Port: 51820})
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestRead(t *testing.T) {
	for line, wrong := range map[string]string{
		`{"marker":"NOBODYSHOULDSEETHIS","port":51820}` + "\n": "",
		`{"marker":"short","port":51820}` + "\n":               "a marker of 5 bytes",
		`{"marker":"NOBODYSHOULDSEETHIS"}` + "\n":              "port 0",
		"":                        "unexpected end of JSON",
		strings.Repeat("x", 5000): "a line of more than",
	} {
		request, err := read(bufio.NewReaderSize(strings.NewReader(line), wire.MaxRequest))
		switch {
		case wrong == "" && (err != nil || request.Marker != marker):
			t.Errorf("%s: %+v, %v", line, request, err)
		case wrong != "" && (err == nil || !strings.Contains(err.Error(), wrong)):
			t.Errorf("%.60s: the error is %v", line, err)
		}
	}
}
