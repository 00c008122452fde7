package config

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/zclconf/go-cty/cty"
)

// LoadVariables reads a file of values for variables, `name = value` on each
// line, and returns them as Load takes them. Values are written out: nothing
// can be referred to in it, and no function called.
func LoadVariables(path string) (map[string]string, Diagnostics) {
	parser := hclparse.NewParser()
	l := &loader{}
	src, err := readFile(path)
	if err != nil {
		l.report(nil, "Unreadable variable file", "%s cannot be read: %s.", path, reason(err))
		return nil, Diagnostics{l.diags, nil}
	}
	file, diags := parser.ParseHCL(src, path)
	l.diags = append(l.diags, diags...)
	if diags.HasErrors() {
		return nil, Diagnostics{l.diags, parser.Files()}
	}
	attributes, diags := file.Body.JustAttributes()
	l.diags = append(l.diags, diags...)
	values := map[string]string{}
	for name, attr := range attributes {
		value, diags := attr.Expr.Value(nil)
		l.diags = append(l.diags, diags...)
		switch {
		case diags.HasErrors():
		case value.IsNull():
			l.report(attr.Expr.Range().Ptr(), "Missing variable value", "%s is null: leave the line out to have the default.", name)
		case value.Type() == cty.String:
			values[name] = value.AsString()
		default: // as it would be written after --var
			values[name] = string(attr.Expr.Range().SliceBytes(src))
		}
	}
	if hcl.Diagnostics(l.diags).HasErrors() {
		return nil, Diagnostics{l.diags, parser.Files()}
	}
	return values, Diagnostics{l.diags, parser.Files()}
}
