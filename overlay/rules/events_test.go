package rules

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAMessageNamesItsTable(t *testing.T) {
	const nft = unix.NFNL_SUBSYS_NFTABLES << 8
	message := func(kind uint16, data string) syscall.NetlinkMessage {
		return syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: kind}, Data: []byte(data)}
	}
	for what, test := range map[string]struct {
		message syscall.NetlinkMessage
		want    string
	}{
		"a chain":              {message(nft|unix.NFT_MSG_DELCHAIN, "\x01\x00\x00\x00\x08\x00\x01\x00abc\x00"), "abc"},
		"and what follows":     {message(nft|unix.NFT_MSG_NEWRULE, "\x01\x00\x00\x00\x07\x00\x01\x00ab\x00\x00\x05\x00\x02\x00c\x00\x00\x00"), "ab"},
		"a set's element":      {message(nft|unix.NFT_MSG_NEWSETELEM, "\x01\x00\x00\x00\x08\x00\x01\x00abc\x00"), ""},
		"another subsystem":    {message(1<<8|unix.NFT_MSG_NEWRULE, "\x01\x00\x00\x00\x08\x00\x01\x00abc\x00"), ""},
		"nothing":              {message(nft|unix.NFT_MSG_NEWTABLE, ""), ""},
		"no attribute":         {message(nft|unix.NFT_MSG_NEWTABLE, "\x01\x00\x00\x00"), ""},
		"another attribute":    {message(nft|unix.NFT_MSG_NEWTABLE, "\x01\x00\x00\x00\x08\x00\x02\x00abc\x00"), ""},
		"longer than it is":    {message(nft|unix.NFT_MSG_NEWTABLE, "\x01\x00\x00\x00\xff\x00\x01\x00abc\x00"), ""},
		"shorter than it must": {message(nft|unix.NFT_MSG_NEWTABLE, "\x01\x00\x00\x00\x03\x00\x01\x00abc\x00"), ""},
	} {
		if got := tableOf(test.message); got != test.want {
			t.Errorf("%s: %q, want %q", what, got, test.want)
		}
	}
}
