package config

import (
	"testing"
	"time"
)

func TestOverlaySwitches(t *testing.T) {
	file, shown := load(t, `
		cluster "site" {
			overlay {
				port = 51000
				persistent_keepalive = 0
				offloads = false
				psk = true
			}
		}
		machine "m1" {
			address  = "10.0.0.1"
			endpoint = "203.0.113.7"
		}
		machine "w1" {
			address  = "10.0.0.2"
			endpoint = "203.0.113.7:51001"
		}
		machine "w2" {
			address  = "10.0.0.3"
			endpoint = "2001:db8::7"
		}`, nil)
	if shown != "" {
		t.Fatal(shown)
	}
	o := file.Cluster.Overlay
	if o.Keepalive != 0 || o.Offloads == nil || *o.Offloads || !o.PSK {
		t.Errorf("%+v", o)
	}
	for i, want := range []string{"203.0.113.7:51000", "203.0.113.7:51001", "[2001:db8::7]:51000"} {
		if got := file.Machines[i].Endpoint.String(); got != want {
			t.Errorf("%s: endpoint %s, want %s", file.Machines[i].Name, got, want)
		}
	}
	file, shown = load(t, `
		cluster "site" {
			overlay {
				persistent_keepalive = "1m"
				offloads = true
			}
		}
		machine "m1" { address = "10.0.0.1" }`, nil)
	if o := file.Cluster.Overlay; shown != "" || o.Keepalive != time.Minute || o.Offloads == nil || !*o.Offloads || o.PSK {
		t.Errorf("%s %+v", shown, o)
	}
	if endpoint := file.Machines[0].Endpoint; endpoint.IsValid() {
		t.Errorf("an endpoint of its own: %v", endpoint)
	}
}
