package verify

import (
	"context"
	"encoding/json"

	"provision/overlay"
)

// node is what is needed of a Node.
type node struct {
	ready   bool
	why     string // its condition's words, where it is not
	address string // InternalIP
	mode    string // the overlay's: "kernel", "userspace"; "": not announced
}

func readNodes(ctx context.Context, cluster Cluster) (map[string]node, error) {
	var list struct{ Items []nodeObject }
	if err := get(ctx, cluster, "/api/v1/nodes", &list); err != nil {
		return nil, err
	}
	nodes := map[string]node{}
	for _, item := range list.Items {
		nodes[item.Metadata.Name] = item.node()
	}
	return nodes, nil
}

type nodeObject struct {
	Metadata struct {
		Name        string
		Annotations map[string]string
	}
	Status struct {
		Conditions []struct{ Type, Status, Reason, Message string }
		Addresses  []struct{ Type, Address string }
	}
}

func (o nodeObject) node() node {
	n := node{why: "has no Ready condition yet"}
	for _, c := range o.Status.Conditions {
		if c.Type == "Ready" {
			n.ready, n.why = c.Status == "True", c.Reason+": "+c.Message
		}
	}
	for _, a := range o.Status.Addresses {
		if a.Type == "InternalIP" && n.address == "" {
			n.address = a.Address
		}
	}
	var announced struct{ Mode string }
	if json.Unmarshal([]byte(o.Metadata.Annotations[overlay.Annotation]), &announced) == nil {
		n.mode = announced.Mode
	}
	return n
}

// pod is what is needed of a Pod.
type pod struct {
	name, node, address string
	addresses           []string // all of them, of each family one
	set                 string   // its label app
	ready               bool
	why                 string // where it is not ready
}

func readPods(ctx context.Context, cluster Cluster, namespace string) ([]pod, error) {
	var list struct {
		Items []struct {
			Metadata struct {
				Name              string
				Labels            map[string]string
				DeletionTimestamp *string
			}
			Spec   struct{ NodeName string }
			Status struct {
				Phase, PodIP      string
				PodIPs            []struct{ IP string }
				Conditions        []struct{ Type, Status, Reason, Message string }
				ContainerStatuses []struct {
					State struct {
						Waiting struct{ Reason, Message string }
					}
				}
			}
		}
	}
	if err := get(ctx, cluster, "/api/v1/namespaces/"+namespace+"/pods", &list); err != nil {
		return nil, err
	}
	var pods []pod
	for _, item := range list.Items {
		if item.Metadata.DeletionTimestamp != nil {
			continue
		}
		p := pod{name: item.Metadata.Name, node: item.Spec.NodeName, address: item.Status.PodIP, set: item.Metadata.Labels["app"], why: item.Status.Phase}
		for _, a := range item.Status.PodIPs {
			p.addresses = append(p.addresses, a.IP)
		}
		if four := firstIPv4(p.addresses); four != "" {
			p.address = four // where the machine has IPv6 alone, that of the pod comes first
		}
		for _, c := range item.Status.Conditions {
			switch {
			case c.Type == "Ready":
				p.ready = c.Status == "True" && p.address != ""
			case c.Type == "PodScheduled" && c.Status != "True":
				p.why = c.Reason + ": " + c.Message
			}
		}
		for _, c := range item.Status.ContainerStatuses {
			if w := c.State.Waiting; w.Reason != "" {
				p.why = w.Reason + ": " + w.Message
			}
		}
		pods = append(pods, p)
	}
	return pods, nil
}

// service is what is needed of a Service.
type service struct {
	address   string
	addresses []string // all of them, of each family one
	nodePort  int      // of its first port; 0: none
}

func readServices(ctx context.Context, cluster Cluster, namespace string) (map[string]service, error) {
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Spec     struct {
				ClusterIP  string
				ClusterIPs []string
				Ports      []struct{ NodePort int }
			}
		}
	}
	if err := get(ctx, cluster, "/api/v1/namespaces/"+namespace+"/services", &list); err != nil {
		return nil, err
	}
	services := map[string]service{}
	for _, item := range list.Items {
		found := service{address: item.Spec.ClusterIP, addresses: item.Spec.ClusterIPs}
		if len(item.Spec.Ports) > 0 {
			found.nodePort = item.Spec.Ports[0].NodePort
		}
		services[item.Metadata.Name] = found
	}
	return services, nil
}
