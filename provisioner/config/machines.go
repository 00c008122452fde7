package config

import (
	"fmt"
	"net/netip"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// origin is where a machine and its parts are in the file. The ranges of what
// was not said are those of the block's header.
type origin struct {
	name, address, address6, role, host, endpoint hcl.Range
}

// inherited is what machines have from the cluster block. sudo is nil
// where it was not said: then it depends on each machine's user.
type inherited struct {
	SSH
	sudo    *bool
	kubelet map[string]any
	proxy   map[string]any
	sysctls map[string]string
}

// machines decodes the machine blocks into file, and returns where each machine
// comes from.
func (l *loader) machines(schema fileSchema, file *File) []origin {
	from := inherited{SSH: sshDefaults()}
	if schema.Cluster != nil {
		block := schema.Cluster.SSH.attributes()
		from = inherited{
			SSH: l.ssh(block, from.SSH), sudo: l.sudo(block.sudo, nil),
			kubelet: l.kubelet(schema.Cluster.Kubelet, nil), proxy: l.proxy(schema.Cluster.Proxy, nil), sysctls: l.sysctls(schema.Cluster.Sysctls, nil),
		}
	}
	file.SSH = from.SSH
	file.SSH.Sudo = from.User != "root"
	if from.sudo != nil {
		file.SSH.Sudo = *from.sudo
	}
	var origins []origin
	for _, block := range schema.Machines {
		for _, each := range l.each(block) {
			outer := l.ctx
			if each != nil {
				l.ctx = l.ctx.NewChild()
				l.ctx.Variables = map[string]cty.Value{"each": cty.ObjectVal(each)}
			}
			before := len(l.diags)
			machine, origin := l.machine(block, each, from, file.Cluster.Overlay.Port)
			l.ctx = outer
			file.Machines = append(file.Machines, machine)
			origins = append(origins, origin)
			if l.diags[before:].HasErrors() {
				// The next key would most likely repeat the same mistake.
				l.blind = true
				break
			}
		}
	}
	l.roles(file.Machines)
	return origins
}

// each returns what `each` is for every machine of a block: one nil where the
// block has no for_each.
func (l *loader) each(block machineSchema) []map[string]cty.Value {
	if block.ForEach == nil {
		return []map[string]cty.Value{nil}
	}
	before := len(l.diags)
	value, ok := l.value(block.ForEach, cty.DynamicPseudoType)
	if !ok {
		if len(l.diags) == before && !l.unsure {
			l.nothingToRepeat(block.ForEach)
		}
		l.blind = true
		return nil
	}
	t := value.Type()
	if !value.CanIterateElements() {
		l.blind = true
		l.report(block.ForEach.Expr.Range().Ptr(), "Invalid for_each", "for_each must be a map, or a list of names, not %s.", t.FriendlyName())
		return nil
	}
	var each []map[string]cty.Value
	for key, element := range value.Elements() {
		if !t.IsMapType() && !t.IsObjectType() {
			if element.IsNull() || element.Type() != cty.String {
				l.blind = true
				l.report(block.ForEach.Expr.Range().Ptr(), "Invalid for_each", "A list in for_each must hold strings: they are the keys of its machines.")
				return nil
			}
			key = element
		}
		each = append(each, map[string]cty.Value{"key": key, "value": element})
	}
	return each
}

// nothingToRepeat reports a for_each that is null; one that is built on
// something wrong was reported there.
func (l *loader) nothingToRepeat(attr *hcl.Attribute) {
	if value, diags := attr.Expr.Value(l.ctx); !diags.HasErrors() && value.IsKnown() && value.IsNull() {
		l.report(attr.Expr.Range().Ptr(), "Invalid for_each", "for_each is null: give it a map, or a list of names; an empty one makes no machine.")
	}
}

func (l *loader) machine(block machineSchema, each map[string]cty.Value, inherited inherited, port int) (Machine, origin) {
	where := func(attr *hcl.Attribute) hcl.Range {
		if attr == nil {
			return block.LabelRange
		}
		return attr.Expr.Range()
	}
	o := origin{name: where(block.Name), address: where(block.Address), address6: where(block.Address6), role: where(block.Role), host: where(block.Address), endpoint: where(block.Endpoint)}
	name := block.Label
	if each != nil {
		name = fmt.Sprintf("%s-%s", block.Label, each["key"].AsString())
	}
	m := Machine{Name: l.text(block.Name, name)}
	if why := unfit(m.Name); why != "" {
		l.report(&o.name, "Invalid machine name", "%q cannot be a Node's name: %s.", m.Name, why)
	}
	m.Role = Role(l.choice(block.Role, "", "Invalid role", string(Master), string(Worker)))
	m.Address = l.address(block)
	m.Endpoint = l.endpoint(block.Endpoint, port)
	m.Address6 = l.address6(block)
	m.Labels = l.labels(block.Labels)
	m.Taints = l.taints(block.Taints)
	m.Kubelet = l.kubelet(block.Kubelet, inherited.kubelet)
	m.Proxy = l.proxy(block.Proxy, inherited.proxy)
	m.Sysctls = l.sysctls(block.Sysctls, inherited.sysctls)
	own := block.SSH.attributes()
	m.SSH = l.ssh(own, inherited.SSH)
	m.SSH.Sudo = m.SSH.User != "root"
	if said := l.sudo(own.sudo, inherited.sudo); said != nil {
		m.SSH.Sudo = *said
	}
	if m.SSH.Host == "" && m.Address.IsValid() {
		m.SSH.Host = m.Address.String()
	}
	if block.SSH != nil && block.SSH.Host != nil {
		o.host = where(block.SSH.Host)
	}
	return m, o
}

func (l *loader) address(block machineSchema) netip.Addr {
	if block.Address == nil {
		l.report(block.LabelRange.Ptr(), "Missing machine address", "A machine needs address: the one of its own addresses at which the cluster reaches it.")
		return netip.Addr{}
	}
	text, ok := l.value(block.Address, cty.String)
	if !ok {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(text.AsString())
	switch {
	case err != nil || addr.Zone() != "":
		l.report(block.Address.Expr.Range().Ptr(), "Invalid address", "address must be an address such as \"192.168.56.11\" or \"2001:db8::11\", not %q.", text.AsString())
	case unusable(netip.PrefixFrom(addr, addr.BitLen())):
		l.report(block.Address.Expr.Range().Ptr(), "Invalid address", "%s is no address that other machines can reach.", addr)
	default:
		return addr
	}
	return netip.Addr{}
}

// address6 returns the machine's address of IPv6, which it need not have.
func (l *loader) address6(block machineSchema) netip.Addr {
	text := l.text(block.Address6, "")
	if text == "" {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil || !addr.Is6() || addr.Zone() != "":
		l.report(block.Address6.Expr.Range().Ptr(), "Invalid address", "address6 must be an IPv6 address such as \"2001:db8::11\", not %q.", text)
	case unusable(netip.PrefixFrom(addr, 128)):
		l.report(block.Address6.Expr.Range().Ptr(), "Invalid address", "%s is no address that other machines can reach.", addr)
	default:
		return addr
	}
	return netip.Addr{}
}

// roles fills in the roles that the file leaves out. Where it names no master,
// the first machine without a role is it; the others are workers.
func (l *loader) roles(machines []Machine) {
	named := l.blind
	for _, m := range machines {
		named = named || m.Role == Master
	}
	for i := range machines {
		if machines[i].Role != "" {
			continue
		}
		machines[i].Role = Worker
		if !named {
			machines[i].Role, named = Master, true
		}
	}
}
