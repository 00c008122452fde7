package host

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What concerns the overlay is looked at at once: the rest is pods that come and
// go, and waits.
func TestConcerns(t *testing.T) {
	link := func(name string) string {
		return string(make([]byte, unix.SizeofIfInfomsg)) + string([]byte{byte(5 + len(name)), 0, unix.IFLA_IFNAME, 0}) + name + "\x00\x00\x00\x00"[:4-len(name)%4]
	}
	netconf := func(index string) string { return "\x02\x00\x00\x00\x08\x00\x01\x00" + index }
	route := func(table, protocol byte) string {
		return string([]byte{unix.AF_INET, 24, 0, 0, table, protocol, 0, unix.RTN_UNICAST, 0, 0, 0, 0})
	}
	for what, test := range map[string]struct {
		kind uint16
		data string
		want bool
	}{
		"bridge0":                {unix.RTM_NEWLINK, link("bridge0"), true},
		"wg0 gone":               {unix.RTM_DELLINK, link("wg0"), true},
		"a pod's link":           {unix.RTM_NEWLINK, link("veth1234"), false},
		"a name that begins so":  {unix.RTM_NEWLINK, link("wg01"), false},
		"an address":             {unix.RTM_DELADDR, "\x02\x18\x00\x00\x01\x00\x00\x00", true},
		"a link's own address":   {unix.RTM_NEWADDR, "\x0a\x40\x00\xfd\x01\x00\x00\x00", false},
		"a route of ours":        {unix.RTM_DELROUTE, route(unix.RT_TABLE_MAIN, protocol), true},
		"somebody's route":       {unix.RTM_NEWROUTE, route(unix.RT_TABLE_MAIN, unix.RTPROT_BOOT), true},
		"what an address brings": {unix.RTM_NEWROUTE, route(unix.RT_TABLE_LOCAL, unix.RTPROT_KERNEL), false},
		"what a link brings":     {unix.RTM_NEWROUTE, route(unix.RT_TABLE_MAIN, unix.RTPROT_KERNEL), false},
		"forwarding of all":      {unix.RTM_NEWNETCONF, netconf("\xff\xff\xff\xff"), true},
		"a new link's settings":  {unix.RTM_NEWNETCONF, netconf("\x07\x00\x00\x00"), false},
		"a link cut short":       {unix.RTM_NEWLINK, "\x00", false},
		"an address cut short":   {unix.RTM_NEWADDR, "\x02", false},
		"a route cut short":      {unix.RTM_NEWROUTE, "\x02", false},
		"settings cut short":     {unix.RTM_NEWNETCONF, "\x02\x00\x00\x00\x08\x00\x01\x00\xff", false},
		"a neighbour":            {unix.RTM_NEWNEIGH, "", false},
	} {
		m := syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: test.kind}, Data: []byte(test.data)}
		if got := concerns(m); got != test.want {
			t.Errorf("%s: %v, want %v", what, got, test.want)
		}
	}
}
