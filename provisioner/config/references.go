package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// knows reports whether there is all that an expression refers to; what there
// is not, it reports with what was probably meant. HCL's own suggestions are
// none for var.NAME, and any of several at random for functions.
func (l *loader) knows(expr hcl.Expression) bool {
	before := len(l.diags)
	l.knowsFunctions(expr)
	for _, traversal := range expr.Variables() {
		l.knowsValue(traversal)
	}
	return len(l.diags) == before
}

func (l *loader) knowsFunctions(expr hcl.Expression) bool {
	before := len(l.diags)
	if syntax, ok := expr.(hclsyntax.Expression); ok {
		hclsyntax.VisitAll(syntax, func(node hclsyntax.Node) hcl.Diagnostics {
			if call, ok := node.(*hclsyntax.FunctionCallExpr); ok {
				l.knowsFunction(call)
			}
			return nil
		})
	}
	return len(l.diags) == before
}

func (l *loader) knowsFunction(call *hclsyntax.FunctionCallExpr) {
	all := functions(l.dir)
	if _, there := all[call.Name]; !there {
		l.report(&call.NameRange, "Unknown function", "There is no function %q%s", call.Name, suggestion(call.Name, slices.Sorted(maps.Keys(all))))
	}
}

func (l *loader) knowsValue(traversal hcl.Traversal) {
	roots := map[string]cty.Value{}
	for ctx := l.ctx; ctx != nil; ctx = ctx.Parent() {
		maps.Copy(roots, ctx.Variables)
	}
	name := traversal.RootName()
	value, there := roots[name]
	switch {
	case !there && name == "each":
		l.report(traversal.SourceRange().Ptr(), "Unknown variable", "each is there only in a machine block with for_each: add for_each, or write the value out.")
		return
	case !there:
		l.report(traversal.SourceRange().Ptr(), "Unknown variable", "There is no %q%s", name, suggestion(name, slices.Sorted(maps.Keys(roots))))
		return
	}
	for i, step := range traversal[1:] {
		attr, ok := step.(hcl.TraverseAttr)
		if !ok || !value.IsKnown() || value.IsNull() || !value.Type().IsObjectType() {
			return // HCL has a sentence for what does not fit here
		}
		if !value.Type().HasAttribute(attr.Name) {
			kind := "attribute"
			if i == 0 && name == "var" {
				kind = "variable"
			} else if i == 0 && name == "local" {
				kind = "local"
			}
			l.report(traversal.SourceRange().Ptr(), "Unknown "+kind, "There is no %s %q%s",
				kind, attr.Name, suggestion(attr.Name, slices.Sorted(maps.Keys(value.Type().AttributeTypes()))))
			return
		}
		value = value.GetAttr(attr.Name)
	}
}

// suggestion is the end of a sentence about a name that is not there: the one
// that was probably meant, or all there are.
func suggestion(name string, there []string) string {
	best, least := "", 3
	for _, candidate := range there {
		if d := levenshtein.Distance(name, candidate, nil); d < least {
			best, least = candidate, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf(". Did you mean %q?", best)
	case len(there) == 0:
		return "; there are none."
	case len(there) > 20:
		return "; docs/cluster-hcl.md has all there are."
	}
	return "; there are: " + strings.Join(there, ", ") + "."
}
