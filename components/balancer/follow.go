package balancer

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"provision/components"
)

// Follow is how a balancer learns of masters from the cluster: a machine that
// was off, or left out, when one was added has an old file.
type Follow struct {
	Certificate string `json:"certificate"` // PEM files of the identity that asks
	Key         string `json:"key"`
	Kept        string `json:"kept"` // file for what was learned
}

// The label of the EndpointSlices in kube-system that list the API servers, and
// the path that asks for them: any version that an API server has at hand will do.
const (
	Label      = "provision.internal/apiservers"
	SlicesPath = "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices?labelSelector=provision.internal%2Fapiservers&resourceVersion=0"
)

// Learned reads the API's answer to SlicesPath. It refuses the whole of a list
// that is empty or holds anything that cannot be another machine's API server.
func Learned(text []byte) ([]netip.AddrPort, error) {
	var list struct {
		Items []struct {
			Endpoints []struct {
				Addresses []string `json:"addresses"`
			} `json:"endpoints"`
			Ports []struct {
				Port uint16 `json:"port"`
			} `json:"ports"`
		} `json:"items"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	var servers []netip.AddrPort
	for _, slice := range list.Items {
		if len(slice.Ports) != 1 || slice.Ports[0].Port == 0 {
			return nil, fmt.Errorf("%d ports, or port 0", len(slice.Ports))
		}
		for _, endpoint := range slice.Endpoints {
			for _, address := range endpoint.Addresses {
				addr, err := netip.ParseAddr(address)
				if err != nil || !addr.IsGlobalUnicast() || addr.Is4In6() || addr.Zone() != "" || addr == components.NodeAPI {
					return nil, fmt.Errorf("%.60q is no address of a master", address)
				}
				servers = append(servers, netip.AddrPortFrom(addr, slice.Ports[0].Port))
			}
		}
	}
	slices.SortFunc(servers, netip.AddrPort.Compare)
	servers = slices.Compact(servers)
	switch {
	case len(servers) == 0:
		return nil, errors.New("it names no server")
	case len(servers) > maxServers:
		return nil, fmt.Errorf("%d servers", len(servers))
	}
	return servers, nil
}

// Kept is what was learned, as it outlives a restart.
type Kept struct {
	// Configured are the servers of the file at that time. A file with others was
	// written since, and knows better.
	Configured []netip.AddrPort `json:"configured"`
	Servers    []netip.AddrPort `json:"servers"`
}

// DecodeKept reads it and refuses what Learned would.
func DecodeKept(text []byte) (Kept, error) {
	var kept Kept
	if err := json.Unmarshal(text, &kept); err != nil {
		return Kept{}, err
	}
	if err := checkServers(kept.Servers); err != nil {
		return Kept{}, err
	}
	return kept, nil
}

func checkServers(servers []netip.AddrPort) error {
	if len(servers) == 0 || len(servers) > maxServers {
		return fmt.Errorf("servers: %d addresses", len(servers))
	}
	seen := map[netip.AddrPort]bool{}
	for _, server := range servers {
		if !server.IsValid() || server.Port() == 0 || server.Addr().IsUnspecified() || seen[server] {
			return fmt.Errorf("servers: %q is no address of a server, or named twice", server)
		}
		seen[server] = true
	}
	return nil
}
