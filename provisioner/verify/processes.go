package verify

import (
	"context"
	"strings"
)

// processes are units that were killed, and how they come back.
type processes struct {
	machine Machine
	units   []string // without prefix and suffix
	before  string   // their processes' numbers as they were
	renewed string   // when kubelet renewed its Lease last, as the API had it when they were back
	running bool
}

// numbers are the main processes of the units that run; "" where one does not.
func (p *processes) numbers(ctx context.Context) string {
	argv := []string{"systemctl", "show", "--property=MainPID,ActiveState"}
	for _, unit := range p.units {
		argv = append(argv, "provision-"+unit+".service")
	}
	out, err := p.machine.Run(ctx, argv, nil)
	text := string(out)
	if err != nil || strings.Count(text, "ActiveState=active") != len(p.units) || strings.Contains(text, "MainPID=0\n") {
		return ""
	}
	return text
}

// back says that others run in their place, and do what they are for: etcd knows
// of a leader, kubelet has renewed its Lease.
func (p *processes) back(ctx context.Context, cluster Cluster) bool {
	ctx, cancel := context.WithTimeout(ctx, tryPatience)
	defer cancel()
	if !p.running {
		now := p.numbers(ctx)
		if now == "" || now == p.before {
			return false
		}
		p.running = true
		p.renewed = p.lease(ctx, cluster)
	}
	if p.units[0] == "etcd" {
		state, err := askMember(ctx, p.machine)
		return err == nil && state.hasLeader
	}
	now := p.lease(ctx, cluster)
	return now != "" && now != p.renewed
}

func (p *processes) lease(ctx context.Context, cluster Cluster) string {
	var lease struct{ Spec struct{ RenewTime string } }
	if get(ctx, cluster, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/"+p.machine.Name, &lease) != nil {
		return ""
	}
	return lease.Spec.RenewTime
}
