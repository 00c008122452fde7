package removal

import (
	"slices"
	"testing"
)

func TestAReportIsCounted(t *testing.T) {
	report := Report{Removed: []string{
		"running unit provision-kubelet.service", "running unit provision-proxy.service", "14 processes in kubepods", "1 processes in provision.slice",
		"mount /run/provision/x", "link veth1", "link wg0", "table ip kube-proxy", "nftables table inet provision-overlay",
		"/etc/provision/cni/10.conflist", "file /etc/sysctl.d/x", "our value of sysctl vm.panic_on_oom", "firewall rule in DOCKER-USER for what pods send",
		"our content of file /etc/motd", "unit provision.target", "folder /opt/provision", "control group kubepods", "something new",
	}}
	if got, want := report.Taken(), "2 running units, 15 processes, 1 unit file, 1 mount, 2 links, 2 nftables tables, 1 firewall rule, 1 control group, 2 files, 1 folder, 1 other thing"; got != want {
		t.Errorf("taken: %q, want %q", got, want)
	}
	if got, want := report.PutBack(), []string{"sysctl vm.panic_on_oom", "file /etc/motd"}; !slices.Equal(got, want) {
		t.Errorf("put back: %q, want %q", got, want)
	}
	if got := (Report{}).Taken(); got != "nothing" {
		t.Errorf("of an empty report: %q", got)
	}
}
