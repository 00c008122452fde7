package config

import (
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// value evaluates an attribute as a type. It is not ok where the attribute is
// absent, null, wrong (which is reported here) or built on something wrong
// (which was reported there): callers go on with the default and say no more.
func (l *loader) value(attr *hcl.Attribute, want cty.Type) (cty.Value, bool) {
	if attr == nil {
		return cty.NilVal, false
	}
	if !l.knows(attr.Expr) {
		l.blind = true
		return cty.NilVal, false
	}
	value, diags := attr.Expr.Value(l.ctx)
	l.diags = append(l.diags, diags...)
	if diags.HasErrors() || !value.IsWhollyKnown() {
		l.blind = true
		return cty.NilVal, false
	}
	if value.IsNull() {
		return cty.NilVal, false
	}
	converted, err := convert.Convert(value, want)
	if err != nil {
		l.report(attr.Expr.Range().Ptr(), "Wrong value type", "%s must be %s, not %s.", attr.Name, kindOf(want), kindOf(value.Type()))
		return cty.NilVal, false
	}
	return converted, true
}

// kindOf says what a type is to somebody who writes a value down.
func kindOf(t cty.Type) string {
	switch {
	case t == cty.String:
		return "a string"
	case t == cty.Number:
		return "a number"
	case t == cty.Bool:
		return "true or false"
	case t.IsMapType() && t.ElementType() == cty.String:
		return `a map of strings such as { disk = "ssd" }`
	case t.IsMapType(), t.IsObjectType():
		return "a map of something else"
	}
	return "a list"
}

// span is a duration as it is written: "10m", not "10m0s".
func span(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// text returns a string; an empty one counts as not said.
func (l *loader) text(attr *hcl.Attribute, fallback string) string {
	if value, ok := l.value(attr, cty.String); ok && value.AsString() != "" {
		return value.AsString()
	}
	return fallback
}

func (l *loader) flag(attr *hcl.Attribute, fallback bool) bool {
	if value, ok := l.value(attr, cty.Bool); ok {
		return value.True()
	}
	return fallback
}

// number returns a whole number between low and high.
func (l *loader) number(attr *hcl.Attribute, fallback, low, high int, summary string) int {
	value, ok := l.value(attr, cty.Number)
	if !ok {
		return fallback
	}
	n, accuracy := value.AsBigFloat().Int64()
	if accuracy != big.Exact || n < int64(low) || n > int64(high) {
		l.report(attr.Expr.Range().Ptr(), summary, "%s must be a whole number from %d to %d.", attr.Name, low, high)
		return fallback
	}
	return int(n)
}

// amount returns a number of machines, or a percentage of them.
func (l *loader) amount(attr *hcl.Attribute, fallback Amount) Amount {
	text := l.text(attr, "")
	if text == "" {
		return fallback
	}
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(digits)
	switch {
	case err != nil || n < 1 || strconv.Itoa(n) != digits || percent && n > 100 || n > 5000:
		l.report(attr.Expr.Range().Ptr(), "Invalid amount", "%s must be a number of machines such as 2, or a share of them such as \"25%%\", and at least 1; not %q.", attr.Name, text)
		return fallback
	case percent:
		return Amount{Percent: n}
	}
	return Amount{Count: n}
}

func (l *loader) port(attr *hcl.Attribute, fallback int) int {
	return l.number(attr, fallback, 1, 65535, "Invalid port")
}

// seconds returns a duration of whole seconds: the fields that Kubernetes has
// for them are integers.
func (l *loader) seconds(attr *hcl.Attribute, fallback, low, high time.Duration, why string) time.Duration {
	text := l.text(attr, "")
	if text == "" {
		return fallback
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		l.report(attr.Expr.Range().Ptr(), "Invalid duration", "%s must be a duration such as %q, not %q.", attr.Name, fallback, text)
	case d%time.Second != 0:
		l.report(attr.Expr.Range().Ptr(), "Invalid duration", "%s must be whole seconds, such as %q: Kubernetes counts no finer.", attr.Name, d.Round(time.Second))
	case d < low || d > high:
		l.report(attr.Expr.Range().Ptr(), "Invalid duration", "%s must be from %s to %s: %s.", attr.Name, span(low), span(high), why)
	default:
		return d
	}
	return fallback
}

// texts returns a list of strings; a single string is a list of one. It is nil
// where nothing was said.
func (l *loader) texts(attr *hcl.Attribute) []string {
	value, ok := l.value(attr, cty.DynamicPseudoType)
	if !ok {
		return nil
	}
	if value.Type() == cty.String {
		if value.AsString() == "" {
			return nil
		}
		return []string{value.AsString()}
	}
	list, err := convert.Convert(value, cty.List(cty.String))
	if err != nil {
		l.report(attr.Expr.Range().Ptr(), "Wrong value type", "%s must be a string or a list of strings.", attr.Name)
		return nil
	}
	texts := []string{}
	for _, element := range list.AsValueSlice() {
		if element.IsNull() {
			l.report(attr.Expr.Range().Ptr(), "Wrong value type", "%s must not hold null.", attr.Name)
			return nil
		}
		texts = append(texts, element.AsString())
	}
	return texts
}

// dictionary returns a map of strings, nil where nothing was said.
func (l *loader) dictionary(attr *hcl.Attribute) map[string]string {
	value, ok := l.value(attr, cty.Map(cty.String))
	if !ok {
		return nil
	}
	dictionary := map[string]string{}
	for key, element := range value.AsValueMap() {
		if element.IsNull() {
			continue
		}
		dictionary[key] = element.AsString()
	}
	return dictionary
}
