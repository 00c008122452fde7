package templates

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden")

var (
	address  = netip.MustParseAddr("192.0.2.11")
	pods     = []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}
	services = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}
	process  = Process{
		Binary:      "/opt/provision/1.36.3-0123456789ab/bin/node",
		Environment: []string{"HTTP2_READ_IDLE_TIMEOUT_SECONDS=2", "GOGC=75"},
		Sum:         "0123456789abcdef",
		LowerOOM:    true,
	}
	election = Election{LeaseDuration: "6s", RenewDeadline: "4s", RetryPeriod: "1s"}
)

// rendered is every template by its file's name, with values like those of a
// small cluster.
var rendered = map[string][]byte{
	"api-servers.yaml": APIServersYAML(APIServers{Port: 6443, Lists: []APIServerList{
		{"ipv4", "IPv4", []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}},
		{"ipv6", "IPv6", []netip.Addr{netip.MustParseAddr("2001:db8::1")}},
	}}),
	"api-endpoint.yaml":   APIEndpointYAML(APIEndpoint{Address: netip.MustParseAddr("192.0.0.11"), Port: 6444}),
	"apiserver.service":   APIServerService(APIServer{Process: process, Address: address, Port: 6443, Services: services, Domain: "cluster.local", EvictSeconds: 4, Several: true}),
	"audit.yaml":          AuditYAML(),
	"authentication.yaml": AuthenticationYAML(),
	"balancer.service":    BalancerService(Balancer{process}),
	"certificates.service": CertificatesService(Certificates{
		process}),
	"containerd.service": ContainerdService(Containerd{process}),
	"containerd.toml": ContainerdTOML(ContainerdConfig{Socket: "/run/provision/containerd/containerd.sock",
		Bundle: "/opt/provision/1.36.3-0123456789ab", Pause: "provision.internal/pause:3.10", LowerOOM: true, SystemdCgroup: true}),
	"controller-manager.service": ControllerManagerService(ControllerManager{Process: process, Election: election, Cluster: "site",
		Pods: pods, NodeMask: 24, Services: services, MonitorPeriod: "1s", MonitorGrace: "5s"}),
	"coredns.yaml": CoreDNSYAML(CoreDNS{Image: "provision.internal/coredns:1.15.0", Address: netip.MustParseAddr("10.96.0.10"),
		Domain: "cluster.local", Replicas: 2}),
	"etcd.service": EtcdService(Etcd{process}),
	"etcd.yaml": EtcdYAML(EtcdConfig{Name: "m2", Host: "192.0.2.12", ClientPort: 2379, PeerPort: 2380,
		Token: "site", HeartbeatMilliseconds: 100, ElectionMilliseconds: 1000}),
	"hosts.toml": HostsTOML(Hosts{Mirrors: []Mirror{{URL: "http://10.0.0.5:5000"}, {URL: "https://mirror.example.org/v2/hub", Path: true}},
		CA: "/etc/provision/registries/docker.io/ca.crt", SkipVerify: true}),
	"identities.yaml": IdentitiesYAML(),
	"kubeconfig.yaml": KubeconfigYAML(Kubeconfig{Cluster: "site", Server: "https://127.0.0.1:6444", Leaf: "kubelet"}),
	"kubelet.service": KubeletService(Kubelet{Process: process, Name: "w1", Addresses: []netip.Addr{address}}),
	"kubelet.yaml": KubeletYAML(KubeletConfig{Address: address, Domain: "cluster.local", DNS: netip.MustParseAddr("10.96.0.10"),
		ResolvConf: "/run/systemd/resolve/resolv.conf", CgroupDriver: "systemd", LeaseSeconds: 4, StatusFrequency: "6s",
		Taints: []Taint{{Key: "node-role.kubernetes.io/control-plane", Effect: "NoSchedule"}}}),
	"local-path.yaml":     LocalPathYAML(LocalPath{Image: "provision.internal/local-path-provisioner:0.0.30", Helper: "provision.internal/volume:1"}),
	"metrics-server.yaml": MetricsServerYAML(MetricsServer{Image: "provision.internal/metrics-server:0.9.0"}),
	"modules.conf":        ModulesConf(Modules{Names: []string{"br_netfilter", "tun"}}),
	"networkd.network":    NetworkdNetwork(),
	"networkmanager.conf": NetworkManagerConf(),
	"overlay.service":     OverlayService(Overlay{process}),
	"node-names.yaml":     NodeNamesYAML(),
	"pod-subnets.yaml":    PodSubnetsYAML(),
	"provision.slice":     Slice(),
	"provision.target":    Target(),
	"proxy.service":       ProxyService(Proxy{process}),
	"proxy.yaml":          ProxyYAML(ProxyConfig{Name: "w1", Address: address, Pods: pods}),
	"resolv.conf":         ResolvConfFile(ResolvConf{Nobody: netip.MustParseAddr("192.0.0.11")}),
	"renewal.service":     RenewalService(Renewal{Agent: "/opt/provision/agent-0123456789ab/agent"}),
	"renewal.timer":       RenewalTimer(Renewal{Every: 6 * time.Hour, Sum: "0123456789abcdef"}),
	"scheduler.service":   SchedulerService(Scheduler{Process: process}),
	"scheduler.yaml":      SchedulerYAML(election),
	"sysctl.conf":         SysctlConf(Sysctls{Settings: []Setting{{"kernel.panic", "10"}, {"net.ipv4.ip_forward", "1"}}}),
	"wireguard.service":   WireGuardService(WireGuard{process}),
}

func TestGolden(t *testing.T) {
	for name, got := range rendered {
		t.Run(name, func(t *testing.T) {
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestEveryFileHasAGolden keeps a template from being added without one, and a
// golden from outliving its template.
func TestEveryFileHasAGolden(t *testing.T) {
	entries, err := embedded.ReadDir("files")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, entry := range entries {
		if name := entry.Name(); name != "parts.tmpl" {
			files = append(files, name)
		}
	}
	goldens, err := filepath.Glob("testdata/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range goldens {
		goldens[i] = strings.TrimSuffix(filepath.Base(name), ".golden")
	}
	slices.Sort(goldens)
	if diff := cmp.Diff(files, goldens); diff != "" {
		t.Error(diff)
	}
}

func TestYAMLIsYAML(t *testing.T) {
	for name, text := range rendered {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		for i, document := range bytes.Split(text, []byte("\n---\n")) {
			var value map[string]any
			if err := yaml.UnmarshalStrict(document, &value); err != nil || len(value) == 0 {
				t.Errorf("%s, document %d: %v", name, i, err)
			}
		}
	}
}

// TestUnits pins what every unit must say, whoever adds the next one.
func TestUnits(t *testing.T) {
	for name, unit := range rendered {
		if !strings.HasSuffix(name, ".service") || name == "renewal.service" { // which runs once, by a timer
			continue
		}
		for _, want := range []string{"\nRestart=always\n", "\nStartLimitIntervalSec=0\n", "\nSlice=provision.slice\n",
			"\nPartOf=provision.target\n", "\nWantedBy=provision.target\n", "\nEnvironment=PROVISION_SUM=0123456789abcdef\n", "\nTimeoutStopSec="} {
			if !strings.Contains(string(unit), want) {
				t.Errorf("%s lacks %q", name, want)
			}
		}
		if strings.Contains(string(unit), " \n") || strings.Contains(string(unit), "\n\n\n") {
			t.Errorf("%s has stray spaces or empty lines", name)
		}
	}
}

func TestNoLowerOOM(t *testing.T) {
	nested := process
	nested.LowerOOM = false
	// systemd would not start a process whose score it cannot set.
	for name, text := range map[string][]byte{
		"etcd": EtcdService(Etcd{nested}), "containerd": ContainerdService(Containerd{nested}),
		"kubelet": KubeletService(Kubelet{Process: nested}), "proxy": ProxyService(Proxy{nested}),
	} {
		if bytes.Contains(text, []byte("OOMScoreAdjust")) {
			t.Errorf("%s.service sets OOMScoreAdjust", name)
		}
	}
	if !bytes.Contains(ContainerdTOML(ContainerdConfig{}), []byte("restrict_oom_score_adj = true")) {
		t.Error("containerd would lower scores")
	}
}

// TestDataIsWaitedFor: what keeps its data below a folder that may be a disk of
// its own does not start before the disk is there.
func TestDataIsWaitedFor(t *testing.T) {
	for name, folder := range map[string]string{
		"etcd": "/var/lib/provision/etcd", "containerd": "/var/lib/provision/containerd",
		"overlay": "/var/lib/provision/overlay", "kubelet": "/var/lib/kubelet",
	} {
		if !strings.Contains(string(rendered[name+".service"]), "\nRequiresMountsFor="+folder+"\n") {
			t.Errorf("%s.service does not wait for %s", name, folder)
		}
	}
}

// TestSecretsAreAudited: the first rule that fits decides, and later ones leave
// out what machines read.
func TestSecretsAreAudited(t *testing.T) {
	var policy struct {
		Rules []struct {
			Level     string
			Resources []struct{ Resources []string }
		}
	}
	if err := yaml.Unmarshal(rendered["audit.yaml"], &policy); err != nil {
		t.Fatal(err)
	}
	first := policy.Rules[0]
	if first.Level != "Metadata" || len(first.Resources) != 1 || !slices.Contains(first.Resources[0].Resources, "secrets") {
		t.Errorf("the first rule is %+v", first)
	}
}

// TestDNSGivesWay: any machine must do for CoreDNS, and only a second replica
// may wait for another one, be it ready or not.
func TestDNSGivesWay(t *testing.T) {
	text := string(rendered["coredns.yaml"])
	for _, want := range []string{"operator: DoesNotExist", "maxSkew: 1", "whenUnsatisfiable: DoNotSchedule", "nodeTaintsPolicy: Ignore"} {
		if !strings.Contains(text, want) {
			t.Errorf("coredns.yaml lacks %q", want)
		}
	}
	if strings.Contains(text, "requiredDuringScheduling") {
		t.Error("coredns.yaml insists on a kind of machine")
	}
}

// TestShimSocketsAreOurs: taking us away ends shims hard, and finds what they
// leave only below our own folder.
func TestShimSocketsAreOurs(t *testing.T) {
	if !strings.Contains(string(rendered["containerd.toml"]), "\n  socket_dir = \"/run/provision/shims\"\n") {
		t.Error("shims listen elsewhere")
	}
}
