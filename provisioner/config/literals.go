package config

import (
	"fmt"
	"math/big"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// literals finds mistakes in what is written out that HCL would take. It
// reports false where evaluating the rest would not end.
func (l *loader) literals(file *hcl.File) bool {
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		return true
	}
	sane := true
	hclsyntax.VisitAll(body, func(node hclsyntax.Node) hcl.Diagnostics {
		switch expr := node.(type) {
		case *hclsyntax.ObjectConsExpr:
			l.repeatedKeys(file, expr)
		case *hclsyntax.LiteralValueExpr:
			if tooLarge(expr.Val) {
				sane = false
				l.report(expr.SrcRange.Ptr(), "Number too large", "Nothing in such a file needs a number beyond 10^18.")
			}
		}
		return nil
	})
	return sane
}

// tooLarge reports whether a number has so many digits, before the point or
// after it, that writing them down takes minutes: 1e999999999.
func tooLarge(value cty.Value) bool {
	if value.Type() != cty.Number || value.IsNull() || !value.IsKnown() {
		return false
	}
	n := value.AsBigFloat()
	return n.Sign() != 0 && (n.MantExp(nil) < -60 || n.Cmp(big.NewFloat(1e18)) > 0)
}

// repeatedKeys finds keys that a map has twice. HCL takes the last one and says
// nothing: a machine of a for_each would be missing unseen.
func (l *loader) repeatedKeys(file *hcl.File, object *hclsyntax.ObjectConsExpr) {
	lines := map[string]int{}
	for _, item := range object.Items {
		key, diags := item.KeyExpr.Value(nil) // of those that are written out
		if diags.HasErrors() || key.IsNull() || !key.IsKnown() || tooLarge(key) {
			continue
		}
		name := fmt.Sprintf("%#v", key)
		at, twice := lines[name]
		if !twice {
			lines[name] = item.KeyExpr.Range().Start.Line
			continue
		}
		l.report(item.KeyExpr.Range().Ptr(), "Duplicate key", "This map has the key %s already (line %d): give each one a key of its own.",
			item.KeyExpr.Range().SliceBytes(file.Bytes), at)
	}
}
