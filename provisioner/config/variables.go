package config

import (
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// evalContext makes what expressions see: functions, var and local.
func (l *loader) evalContext(schema fileSchema) {
	l.ctx = &hcl.EvalContext{Functions: functions(l.dir)}
	l.ctx.Variables = map[string]cty.Value{"var": l.variables(schema.Variables)}
	l.locals(schema.Locals)
}

func (l *loader) variables(blocks []variableSchema) cty.Value {
	values := map[string]cty.Value{}
	for _, block := range blocks {
		if _, twice := values[block.Name]; twice {
			l.report(block.NameRange.Ptr(), "Duplicate variable", "There is another variable %q above.", block.Name)
			continue
		}
		values[block.Name] = l.variable(block)
	}
	for _, name := range slices.Sorted(maps.Keys(l.given)) {
		if _, ok := values[name]; !ok && !l.blind {
			l.report(l.given[name].name, "Unknown variable", "A value was given for %q, but %s has no such variable%s",
				name, l.file, suggestion(name, slices.Sorted(maps.Keys(values))))
		}
	}
	return cty.ObjectVal(values)
}

// variable returns the value of one variable, unknown where it has none.
func (l *loader) variable(block variableSchema) cty.Value {
	from, isGiven := l.given[block.Name]
	l.text(block.Description, "")
	want := cty.DynamicPseudoType
	if block.Type != nil {
		t, diags := typeexpr.TypeConstraint(block.Type.Expr)
		l.diags = append(l.diags, diags...)
		if diags.HasErrors() {
			return cty.DynamicVal
		}
		want = t
	}
	value := cty.DynamicVal
	if block.Default != nil {
		if !l.knowsFunctions(block.Default.Expr) {
			return cty.DynamicVal
		}
		v, diags := block.Default.Expr.Value(&hcl.EvalContext{Functions: l.ctx.Functions})
		l.diags = append(l.diags, diags...)
		if diags.HasErrors() {
			return cty.DynamicVal
		}
		fitting, problem := converted(v, want)
		if problem != "" {
			l.report(block.Default.Expr.Range().Ptr(), "Wrong value type", "The default of variable %q does not fit its type: %s.", block.Name, problem)
			return cty.DynamicVal
		}
		value = fitting
		if block.Type == nil && !value.IsNull() {
			want = value.Type()
		}
	}
	switch {
	case from.broken:
		return cty.DynamicVal
	case isGiven:
		v, problem := parseValue(from.text, want)
		if problem != "" {
			at := from.at
			if at == nil {
				at = block.NameRange.Ptr()
			}
			l.report(at, "Wrong value type", "The value given for variable %q does not fit: %s.", block.Name, problem)
			return cty.DynamicVal
		}
		return v
	case block.Default == nil && !l.unsure:
		l.report(block.NameRange.Ptr(), "Missing variable value", "Variable %q has no default: give it one, or a value with --var %s=VALUE.", block.Name, block.Name)
	}
	return value
}

func converted(value cty.Value, want cty.Type) (cty.Value, string) {
	v, err := convert.Convert(value, want)
	if err != nil {
		return cty.DynamicVal, err.Error()
	}
	return v, ""
}

// parseValue reads what --var says. Strings are taken as they are, without
// quotes; numbers and booleans are converted; the rest is an HCL expression.
func parseValue(text string, want cty.Type) (cty.Value, string) {
	if want == cty.DynamicPseudoType || want.IsPrimitiveType() {
		return converted(cty.StringVal(text), want)
	}
	expr, diags := hclsyntax.ParseExpression([]byte(text), "--var", hcl.InitialPos)
	if diags.HasErrors() {
		return cty.DynamicVal, diags[0].Detail
	}
	value, diags := expr.Value(nil)
	if diags.HasErrors() {
		return cty.DynamicVal, diags[0].Detail
	}
	// A list or map whose default came without a type has the default's exact
	// shape as its type; another length is as good.
	t := value.Type()
	switch {
	case want.IsTupleType() && t.IsTupleType(), want.IsObjectType() && t.IsObjectType():
		return value, ""
	case want.IsTupleType():
		return cty.DynamicVal, "a list is required"
	case want.IsObjectType():
		return cty.DynamicVal, "a map is required"
	}
	return converted(value, want)
}

// locals evaluates each local after those it refers to.
func (l *loader) locals(blocks []localsSchema) {
	attributes := hcl.Attributes{}
	for _, block := range blocks {
		for name, attr := range block.Attributes {
			if _, twice := attributes[name]; twice {
				l.report(attr.NameRange.Ptr(), "Duplicate local", "There is another local %q.", name)
				continue
			}
			attributes[name] = attr
		}
	}
	values := map[string]cty.Value{}
	busy := map[string]bool{}
	var evaluate func(name string)
	evaluate = func(name string) {
		attr := attributes[name]
		if _, done := values[name]; done || attr == nil {
			return
		}
		if busy[name] {
			l.report(attr.Expr.Range().Ptr(), "Circular local", "local.%s is made from itself.", name)
			values[name] = cty.DynamicVal
			return
		}
		busy[name] = true
		for _, needed := range localNames(attr.Expr) {
			evaluate(needed)
		}
		if _, circular := values[name]; circular {
			return
		}
		l.ctx.Variables["local"] = cty.ObjectVal(values)
		if values[name] = cty.DynamicVal; !l.knows(attr.Expr) {
			return
		}
		value, diags := attr.Expr.Value(l.ctx)
		l.diags = append(l.diags, diags...)
		values[name] = value
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		evaluate(name)
	}
	l.ctx.Variables["local"] = cty.ObjectVal(values)
}

// localNames returns the locals that an expression refers to.
func localNames(expr hcl.Expression) []string {
	var names []string
	for _, traversal := range expr.Variables() {
		if len(traversal) < 2 || traversal.RootName() != "local" {
			continue
		}
		if step, ok := traversal[1].(hcl.TraverseAttr); ok {
			names = append(names, step.Name)
		}
	}
	return names
}
