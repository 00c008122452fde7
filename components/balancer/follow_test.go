package balancer

import (
	"fmt"
	"strings"
	"testing"
)

func slice(port int, addresses ...string) string {
	return fmt.Sprintf(`{"endpoints":[{"addresses":["%s"]}],"ports":[{"port":%d}]}`, strings.Join(addresses, `","`), port)
}

func TestTheClustersListIsReadWholeOrNotAtAll(t *testing.T) {
	for items, want := range map[string]string{
		slice(6443, "10.0.0.3", "10.0.0.1"):                        "[10.0.0.1:6443 10.0.0.3:6443]",
		slice(6443, "10.0.0.1") + "," + slice(6443, "2001:db8::1"): "[10.0.0.1:6443 [2001:db8::1]:6443]",
		slice(6443, "10.0.0.1", "10.0.0.1"):                        "[10.0.0.1:6443]",
		"":                                                         "names no server",
		`{"endpoints":[],"ports":[{"port":6443}]}`:                 "names no server",
		slice(0, "10.0.0.1"):                                       "port 0",
		`{"endpoints":[{"addresses":["10.0.0.1"]}]}`:               "0 ports",
		slice(6443, "10.0.0.1", "127.0.0.1"):                       "no address of a master",
		slice(6444, "192.0.0.11"):                                  "no address of a master", // the balancer itself
		slice(6443, "0.0.0.0"):                                     "no address of a master",
		slice(6443, "169.254.169.254"):                             "no address of a master",
		slice(6443, "::ffff:10.0.0.1"):                             "no address of a master",
		slice(6443, "fe80::1%eth0"):                                "no address of a master",
		slice(6443, "m1"):                                          "no address of a master",
		slice(6443, many(maxServers+1)...):                         fmt.Sprint(maxServers+1, " servers"),
		`{"endpoints":[{"addresses":["10.0.0.1"]}],"ports":[{"port":70000}]}`: "cannot unmarshal",
	} {
		servers, err := Learned([]byte(`{"items":[` + items + `]}`))
		if got := fmt.Sprint(servers, err); !strings.Contains(got, want) || err != nil && servers != nil {
			t.Errorf("%.120s: %s, not %s", items, got, want)
		}
	}
}

func many(n int) []string {
	addresses := make([]string, n)
	for i := range addresses {
		addresses[i] = fmt.Sprintf("10.0.%d.1", i)
	}
	return addresses
}

func TestWhatWasKeptIsNotBelievedBlindly(t *testing.T) {
	for _, text := range []string{``, `{}`, `{"servers":[]}`, `{"servers":["0.0.0.0:6443"]}`, `{"servers":["10.0.0.1:0"]}`, `{"servers":["10.0.0.1:6443","10.0.0.1:6443"]}`} {
		if kept, err := DecodeKept([]byte(text)); err == nil {
			t.Errorf("%s: %+v", text, kept)
		}
	}
}
