package config

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2"
)

// ownedFlags are those of each component that follow from the rest of the file, or
// that the rest of the cluster relies on. A name that ends with a star stands for
// all that begin so. provisioner/plan has a test that every flag in a unit of ours is
// here, or may be given another value.
var ownedFlags = map[string][]string{
	"apiserver": {
		"advertise-address", "allow-privileged", "anonymous-auth", "audit-log-mode", "audit-log-path", "audit-policy-file", "authentication-config",
		"authorization-*", "bind-address", "client-ca-file", "default-not-ready-toleration-seconds", "default-unreachable-toleration-seconds",
		"encryption-provider-config", "endpoint-reconciler-type", "etcd-*", "kubelet-*", "oidc-*", "proxy-client-*", "requestheader-*", "secure-port",
		"service-account-*", "service-cluster-ip-range", "tls-cert-file", "tls-private-key-file",
	},
	"controller_manager": {
		"allocate-node-cidrs", "authentication-kubeconfig", "authorization-kubeconfig", "bind-address", "client-ca-file", "cluster-cidr", "cluster-name",
		"cluster-signing-*", "kubeconfig", "leader-elect*", "node-cidr-mask-size*", "node-monitor-*", "requestheader-*", "root-ca-file",
		"service-account-private-key-file", "service-cluster-ip-range", "use-service-account-credentials",
	},
	"scheduler": {
		"authentication-kubeconfig", "authorization-kubeconfig", "bind-address", "client-ca-file", "config", "kubeconfig", "leader-elect*", "requestheader-*",
	},
}

// endless are flags with which every component prints something and ends.
var endless = []string{"help", "version"}

// flags reads the extra_args of a component's block, in the order of their names.
func (l *loader) flags(block *flagsSchema, component string) []Flag {
	if block == nil {
		return nil
	}
	args := l.dictionary(block.ExtraArgs)
	var flags []Flag
	for _, name := range slices.Sorted(maps.Keys(args)) {
		subject := block.ExtraArgs.Expr.Range().Ptr()
		switch {
		case name == "" || !only(name, letters+digits+"-") || name[0] == '-' || name[len(name)-1] == '-':
			l.report(subject, "Invalid flag", "%q is no flag's name: it is written in lower case, without the dashes before it, such as \"audit-log-maxage\".", name)
		case isOwnedFlag(component, name):
			l.report(subject, "Reserved flag", "--%s is set by the cluster itself, or would undo what is: the rest of the cluster relies on it.", name)
		case slices.Contains(endless, name):
			l.report(subject, "Reserved flag", "With --%s the component prints something and ends.", name)
		case strings.ContainsFunc(args[name], unicode.IsControl):
			l.report(subject, "Invalid flag", "The value of --%s must be one line of text.", name)
		default:
			flags = append(flags, Flag{name, args[name]})
		}
	}
	return flags
}

func isOwnedFlag(component, name string) bool {
	return slices.ContainsFunc(ownedFlags[component], func(owned string) bool {
		prefix, many := strings.CutSuffix(owned, "*")
		return name == owned || many && strings.HasPrefix(name, prefix)
	})
}

// sysctls lays a map of kernel settings over what is inherited. Blanks in a value
// are as the kernel writes them, one each.
func (l *loader) sysctls(attr *hcl.Attribute, from map[string]string) map[string]string {
	said := l.dictionary(attr)
	all := maps.Clone(from)
	if all == nil && len(said) > 0 {
		all = map[string]string{}
	}
	for _, name := range sortedKeys(said) {
		value := strings.Join(strings.Fields(said[name]), " ")
		switch subject := attr.Expr.Range().Ptr(); {
		case !isSysctl(name):
			l.report(subject, "Invalid sysctl", "%q is no kernel setting's name: it is written with dots, such as \"net.core.somaxconn\".", name)
		case isOwnedSysctl(name):
			l.report(subject, "Reserved sysctl", "%s is set by the cluster itself: kubelet and the pods' network rely on it.", name)
		case value == "" || strings.ContainsFunc(value, unicode.IsControl):
			l.report(subject, "Invalid sysctl", "The value of %s must be one line of text, such as \"4096\".", name)
		default:
			all[name] = value
		}
	}
	return all
}

// isSysctl reports whether text can be a path below /proc/sys, with dots for slashes.
func isSysctl(text string) bool {
	parts := strings.Split(text, ".")
	return len(parts) > 1 && len(text) <= 253 && !slices.ContainsFunc(parts, func(part string) bool {
		return part == "" || !only(part, letters+strings.ToUpper(letters)+digits+"-_")
	})
}

// isOwnedSysctl: a test of provisioner/plan compares it with what machines are given.
func isOwnedSysctl(name string) bool {
	return slices.Contains([]string{
		"kernel.keys.root_maxbytes", "kernel.keys.root_maxkeys", "kernel.panic", "kernel.panic_on_oops", "vm.overcommit_memory", "vm.panic_on_oom",
		"net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding", "net.ipv6.conf.all.forwarding",
	}, name) || strings.HasPrefix(name, "net.bridge.") || strings.HasPrefix(name, "net.ipv4.conf.wg0.") || strings.HasPrefix(name, "net.ipv4.conf.bridge0.") ||
		strings.HasPrefix(name, "net.ipv6.conf.wg0.") || strings.HasPrefix(name, "net.ipv6.conf.bridge0.")
}
