package config

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/zclconf/go-cty/cty"
)

// given is a value for a variable from outside of the cluster file.
type given struct {
	text   string // as it is written after --var
	at     *hcl.Range
	name   *hcl.Range // both nil where it comes from --var
	broken bool       // and said so
}

func (l *loader) give(name string, value given) {
	if l.given == nil {
		l.given = map[string]given{}
	}
	l.given[name] = value
}

// varFile reads a file of values for variables, `name = value` on each line.
// Values are written out: nothing can be referred to in it, and no function
// called.
func (l *loader) varFile(parser *hclparse.Parser, path string) {
	file := l.source(parser, path, "variable file")
	if file == nil {
		l.unsure = true
		return
	}
	if !l.literals(file) {
		l.unsure = true
		return
	}
	attributes, diags := file.Body.JustAttributes()
	l.diags = append(l.diags, diags...)
	l.unsure = l.unsure || diags.HasErrors()
	for name, attr := range attributes {
		value, diags := attr.Expr.Value(nil)
		l.diags = append(l.diags, diags...)
		at := given{at: attr.Expr.Range().Ptr(), name: attr.NameRange.Ptr()}
		switch {
		case diags.HasErrors():
			at.broken = true
		case value.IsNull():
			at.broken = true
			l.report(at.at, "Missing variable value", "%s is null: leave the line out to have the default.", name)
		case value.Type() == cty.String:
			at.text = value.AsString()
		default:
			at.text = string(at.at.SliceBytes(file.Bytes))
		}
		l.give(name, at)
	}
}
