package sniff

import (
	"bytes"
	"encoding/binary"

	"provision/components/wire"
)

// count takes one packet in, which begins with its IP header. The marker is
// looked for in all of it, whatever it is.
func count(l *wire.Link, packet []byte, request wire.Request) {
	l.Packets++
	if bytes.Contains(packet, []byte(request.Marker)) {
		l.Clear++
		tell(&l.As, packet)
	}
	if ofWireGuard(packet, uint16(request.Port)) {
		l.WireGuard++
	}
}

const (
	protocolTCP = 6
	protocolUDP = 17
)

// tell counts a packet by what it is.
func tell(kinds *wire.Kinds, packet []byte) {
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4 && packet[9] == protocolTCP:
		kinds.TCP4++
	case len(packet) >= 20 && packet[0]>>4 == 4 && packet[9] == protocolUDP:
		kinds.UDP4++
	case len(packet) >= 40 && packet[0]>>4 == 6 && packet[6] == protocolTCP:
		kinds.TCP6++
	case len(packet) >= 40 && packet[0]>>4 == 6 && packet[6] == protocolUDP:
		kinds.UDP6++
	}
}

// ofWireGuard says so of a UDP datagram from or to the overlay's port that
// begins as WireGuard's messages do: their kind, 1 to 4, and three zeros.
func ofWireGuard(packet []byte, port uint16) bool {
	var datagram []byte
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4 && packet[9] == protocolUDP && len(packet) >= int(packet[0]&15)*4:
		if binary.BigEndian.Uint16(packet[6:])&0x1fff != 0 {
			return false // a fragment that is not the first has no header
		}
		datagram = packet[int(packet[0]&15)*4:]
	case len(packet) >= 40 && packet[0]>>4 == 6 && packet[6] == protocolUDP:
		datagram = packet[40:]
	}
	if len(datagram) < 12 {
		return false
	}
	from, to, kind := binary.BigEndian.Uint16(datagram), binary.BigEndian.Uint16(datagram[2:]), binary.LittleEndian.Uint32(datagram[8:])
	return (from == port || to == port) && kind >= 1 && kind <= 4
}
