package host

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision/overlay"
)

func TestRoutersAreKeptByLink(t *testing.T) {
	got := KeptRouters(map[string]string{
		"net/ipv6/conf/eth0.100/accept_ra": "1",
		"net/ipv6/conf/all/forwarding":     "0",
		"net/ipv4/ip_forward":              "0",
	})
	if diff := cmp.Diff([]overlay.Sysctl{{Name: "net/ipv6/conf/eth0.100/accept_ra", Value: "2"}}, got); diff != "" {
		t.Error(diff)
	}
}
