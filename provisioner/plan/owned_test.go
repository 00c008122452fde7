package plan

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"provision/components"
	"provision/components/actions"
	"provision/components/base"
	"provision/components/componentstest"
	"provision/components/master"
	"provision/components/worker"
	"provision/provisioner/config"
)

// replaceable are flags of ours that a file may give another value, or add to.
var replaceable = []string{
	"audit-log-maxage", "audit-log-maxbackup", "audit-log-maxsize", "enable-admission-plugins", "goaway-chance", "profiling",
	"shutdown-watch-termination-grace-period", "tls-cipher-suites", "tls-min-version", "controllers", "kube-api-burst", "kube-api-qps", "node-eviction-rate",
}

var replaceableFields = []string{
	// kubelet's
	"tlsMinVersion", "tlsCipherSuites", "resolvConf", "failCgroupV1", "failSwapOn", "memorySwap", "oomScoreAdj", "makeIPTablesUtilChains", "seccompDefault",
	"evictionHard", "podPidsLimit", "serializeImagePulls", "eventRecordQPS", "enableProfilingHandler", "enableDebugFlagsHandler", "volumePluginDir",
	"shutdownGracePeriod", "shutdownGracePeriodCriticalPods",
	// kube-proxy's
	"nodePortAddresses", "nftables", "conntrack",
}

// refused says what is wrong with a file whose cluster block holds this.
func refused(t *testing.T, block string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "cluster.hcl")
	if err := os.WriteFile(name, []byte("cluster \"c\" {\n"+block+"\n}\nmachine \"m1\" { address = \"10.0.0.1\" }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, diags := config.Load(name, nil)
	var all []string
	for _, d := range diags.Diagnostics {
		all = append(all, d.Summary)
	}
	return strings.Join(all, ", ")
}

// TestWhatIsOursIsRefused: a file cannot give another value to what a unit, a kubelet
// configuration or a machine's kernel has from us, but where that was thought of.
func TestWhatIsOursIsRefused(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	c := componentstest.Cluster("m1", "m2", "w1")
	f := components.Facts{ResolvConf: "/etc/resolv.conf"}
	content := map[string]string{}
	for _, action := range slices.Concat(master.Actions(c, c.Machines[0], f), worker.Actions(c, c.Machines[0], f), base.Actions(c, c.Machines[0], f)) {
		if file, is := action.(actions.File); is {
			content[filepath.Base(file.Path)] = string(file.Content)
		}
	}
	flag := regexp.MustCompile(`(?m)^  --([a-z0-9-]+)=`)
	for block, unit := range map[string]string{"apiserver": "apiserver", "controller_manager": "controller-manager", "scheduler": "scheduler"} {
		found := flag.FindAllStringSubmatch(content["provision-"+unit+".service"], -1)
		if len(found) < 5 {
			t.Errorf("%s has the flags %q", unit, found)
		}
		for _, match := range found {
			got := refused(t, fmt.Sprintf("%s {\n extra_args = { %q = \"1\" }\n }", block, match[1]))
			if want := map[bool]string{false: "Reserved flag"}[slices.Contains(replaceable, match[1])]; got != want {
				t.Errorf("%s: --%s: said %q, want %q", unit, match[1], got, want)
			}
		}
	}
	for block, document := range map[string]string{"kubelet": "kubelet.yaml", "proxy": "proxy.yaml"} {
		for _, match := range regexp.MustCompile(`(?m)^([a-zA-Z]+):`).FindAllStringSubmatch(content[document], -1) {
			got := strings.Contains(refused(t, fmt.Sprintf("%s {\n settings = { %s = {} }\n }", block, match[1])), "Reserved setting")
			if got == slices.Contains(replaceableFields, match[1]) {
				t.Errorf("%s: %s: refused is %v", block, match[1], got)
			}
		}
	}
	for _, match := range regexp.MustCompile(`(?m)^([a-z0-9._-]+) = `).FindAllStringSubmatch(content["99-zz-provision.conf"], -1) {
		if got := refused(t, fmt.Sprintf("sysctls = { %q = 0 }", match[1])); got != "Reserved sysctl" {
			t.Errorf("%s: said %q", match[1], got)
		}
	}
}
