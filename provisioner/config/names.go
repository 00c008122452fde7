package config

import (
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
var ownedLabels = []string{"kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch"}

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
