package templates

import "net/netip"

// IdentitiesYAML returns the roles of the identities that are ours.
func IdentitiesYAML() []byte { return render("identities.yaml", nil) }

// NodeNamesYAML returns the policy that lets kubelets make Nodes of machines in the
// inventory alone.
func NodeNamesYAML() []byte { return render("node-names.yaml", nil) }

// PodSubnetsYAML returns the policy that guards the nodes' pod subnets.
func PodSubnetsYAML() []byte { return render("pod-subnets.yaml", nil) }

// APIEndpoint is api-endpoint.yaml.
type APIEndpoint struct {
	Address netip.Addr // of every machine's balancer
	Port    int
}

// APIEndpointYAML returns where the Service "kubernetes" leads.
func APIEndpointYAML(v APIEndpoint) []byte { return render("api-endpoint.yaml", v) }

// APIServers is api-servers.yaml.
type APIServers struct {
	Lists []APIServerList
	Port  int
}

// APIServerList is the masters' addresses of one family.
type APIServerList struct {
	Name, Type string // "ipv4", "IPv4"
	Addresses  []netip.Addr
}

// APIServersYAML returns the lists that balancers follow.
func APIServersYAML(v APIServers) []byte { return render("api-servers.yaml", v) }

// CoreDNS is coredns.yaml.
type CoreDNS struct {
	Image    string
	Address  netip.Addr // of the Service
	Address6 netip.Addr // the Service's of IPv6; zero: it has none
	Domain   string     // "cluster.local"
	Replicas int
}

// CoreDNSYAML returns the cluster's DNS.
func CoreDNSYAML(v CoreDNS) []byte { return render("coredns.yaml", v) }

// MetricsServer is metrics-server.yaml.
type MetricsServer struct {
	Image string
}

// MetricsServerYAML returns what `kubectl top` asks.
func MetricsServerYAML(v MetricsServer) []byte { return render("metrics-server.yaml", v) }

// LocalPath is local-path.yaml.
type LocalPath struct {
	Image  string
	Helper string // the image that makes and removes volumes' folders
}

// LocalPathYAML returns the storage that is folders of machines.
func LocalPathYAML(v LocalPath) []byte { return render("local-path.yaml", v) }
