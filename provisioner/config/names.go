package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

const (
	letters = "abcdefghijklmnopqrstuvwxyz"
	digits  = "0123456789"

	labelRule = "it must be at most 63 lower-case letters, digits and dashes, and begin and end with a letter or digit"
	keyRule   = "it must be at most 63 letters, digits, '-', '_' and '.', and begin and end with a letter or digit; a DNS name and a slash may stand before it"
	valueRule = "it must be at most 63 letters, digits, '-', '_' and '.', and begin and end with a letter or digit"
)

// only reports whether text consists of nothing but these characters.
func only(text, characters string) bool { return strings.Trim(text, characters) == "" }

// isLabel reports whether text is a DNS label as RFC 1123 has it.
func isLabel(text string) bool {
	return text != "" && len(text) <= 63 && only(text, letters+digits+"-") &&
		text[0] != '-' && text[len(text)-1] != '-'
}

// taken are names that mean something else wherever a machine's name is used.
var taken = map[string]string{
	"localhost":     "every machine calls itself that",
	"ip6-localhost": "every machine calls itself that",
	"ip6-loopback":  "every machine calls itself that",
	"kubernetes":    "it is the API server's name, and a machine's certificate with it could pass for the API server's",
}

// unfit says why a machine cannot have a name, which is its Node's and stands in
// its certificates as well; "" where it can.
func unfit(name string) string {
	number := strings.TrimPrefix(name, "0x")
	switch {
	case len(name) > 63:
		return fmt.Sprintf("it has %d characters, and 63 is the most that a DNS label can have", len(name))
	case !isLabel(name):
		fit := strings.Trim(strings.NewReplacer("_", "-", ".", "-", " ", "-").Replace(strings.ToLower(name)), "-")
		if isLabel(fit) && unfit(fit) == "" {
			return fmt.Sprintf("%s; %q would do", labelRule, fit)
		}
		return labelRule
	case taken[name] != "":
		return taken[name]
	case only(name, digits), number != name && only(number, digits+"abcdef"):
		return fmt.Sprintf("a number would be taken for an address; %q would do", "m"+number)
	}
	return ""
}

// isDNSName reports whether text is DNS labels with dots between.
func isDNSName(text string) bool {
	for part := range strings.SplitSeq(text, ".") {
		if !isLabel(part) {
			return false
		}
	}
	return len(text) <= 253
}

// isName reports whether text is what Kubernetes calls a qualified name's last
// part, which label values are as well.
func isName(text string) bool {
	alnum := letters + strings.ToUpper(letters) + digits
	return text != "" && len(text) <= 63 && only(text, alnum+"-_.") &&
		only(text[:1], alnum) && only(text[len(text)-1:], alnum)
}

// isKey reports whether text can be the key of a label or a taint.
func isKey(text string) bool {
	prefix, name, found := strings.Cut(text, "/")
	if !found {
		return isName(text)
	}
	return isDNSName(prefix) && isName(name)
}

func isVersion(text string) bool {
	parts := strings.Split(text, ".")
	for _, part := range parts {
		if n, err := strconv.Atoi(part); err != nil || n < 0 || strconv.Itoa(n) != part {
			return false
		}
	}
	return len(parts) == 3
}

func isPort(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n > 0 && n < 65536
}

// ownedLabels are set by kubelet or by us: another value would be fought over.
var ownedLabels = []string{"kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch", "beta.kubernetes.io/os", "beta.kubernetes.io/arch"}

func isOwned(key string) bool {
	for _, owned := range ownedLabels {
		if key == owned {
			return true
		}
	}
	return strings.HasPrefix(key, "provision.internal/") || strings.HasPrefix(key, "node-role.kubernetes.io/")
}

func (l *loader) labels(attr *hcl.Attribute) map[string]string {
	labels := l.dictionary(attr)
	for _, key := range sortedKeys(labels) {
		switch {
		case !isKey(key):
			l.report(attr.Expr.Range().Ptr(), "Invalid label", "%q cannot be a label's key: %s.", key, keyRule)
		case isOwned(key):
			l.report(attr.Expr.Range().Ptr(), "Reserved label", "%q is set by the cluster itself; take a key of your own.", key)
		case labels[key] != "" && !isName(labels[key]):
			l.report(attr.Expr.Range().Ptr(), "Invalid label", "%q cannot be the value of label %s: %s.", labels[key], key, valueRule)
		}
	}
	return labels
}

// isState reports whether a taint's key is one that Kubernetes or we set and take
// away ourselves.
func isState(key string) bool {
	prefix, _, _ := strings.Cut(key, "/")
	return prefix == "node.kubernetes.io" || prefix == "node.cloudprovider.kubernetes.io" || prefix == "provision.internal"
}

// taints reads "key=value:Effect" or "key:Effect", as kubectl writes them.
func (l *loader) taints(attr *hcl.Attribute) []Taint {
	texts := l.texts(attr)
	if texts == nil {
		return nil
	}
	taints := []Taint{}
	seen := map[Taint]bool{}
	for _, text := range texts {
		name, effect, _ := strings.Cut(text, ":")
		key, value, _ := strings.Cut(name, "=")
		t := Taint{Key: key, Value: value, Effect: effect}
		identity := Taint{Key: key, Effect: effect}
		switch {
		case effect != "NoSchedule" && effect != "PreferNoSchedule" && effect != "NoExecute":
			l.report(attr.Expr.Range().Ptr(), "Invalid taint", "A taint is written \"key=value:Effect\", and its effect is NoSchedule, PreferNoSchedule or NoExecute: %q is not.", text)
		case !isKey(key):
			l.report(attr.Expr.Range().Ptr(), "Invalid taint", "%q cannot be a taint's key: %s.", key, keyRule)
		case isState(key):
			l.report(attr.Expr.Range().Ptr(), "Reserved taint", "%q comes and goes with the machine's state, as Kubernetes sees it; take a key of your own.", key)
		case value != "" && !isName(value):
			l.report(attr.Expr.Range().Ptr(), "Invalid taint", "%q cannot be the value of taint %s: %s.", value, key, valueRule)
		case seen[identity]:
			l.report(attr.Expr.Range().Ptr(), "Duplicate taint", "The taint %s:%s is there twice.", key, effect)
		}
		seen[identity] = true
		taints = append(taints, t)
	}
	return taints
}
