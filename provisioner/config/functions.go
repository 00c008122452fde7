package config

import (
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	"github.com/zclconf/go-cty/cty/gocty"
)

// functions returns what expressions may call: go-cty's standard functions by
// the names that Terraform's users know, and three of ours.
func functions(dir string) map[string]function.Function {
	return map[string]function.Function{
		"cidrhost": cidrHost,
		"env":      env,
		"file":     file(dir),

		"abs": stdlib.AbsoluteFunc, "ceil": stdlib.CeilFunc, "chomp": stdlib.ChompFunc,
		"coalesce": stdlib.CoalesceFunc, "compact": stdlib.CompactFunc, "concat": stdlib.ConcatFunc,
		"contains": stdlib.ContainsFunc, "csvdecode": stdlib.CSVDecodeFunc, "distinct": stdlib.DistinctFunc,
		"element": stdlib.ElementFunc, "flatten": stdlib.FlattenFunc, "floor": stdlib.FloorFunc,
		"format": stdlib.FormatFunc, "formatlist": stdlib.FormatListFunc, "indent": stdlib.IndentFunc,
		"join": stdlib.JoinFunc, "jsondecode": stdlib.JSONDecodeFunc, "jsonencode": stdlib.JSONEncodeFunc,
		"keys": stdlib.KeysFunc, "length": stdlib.LengthFunc, "lookup": stdlib.LookupFunc,
		"lower": stdlib.LowerFunc, "max": stdlib.MaxFunc, "merge": stdlib.MergeFunc, "min": stdlib.MinFunc,
		"parseint": stdlib.ParseIntFunc, "range": stdlib.RangeFunc, "regex": stdlib.RegexFunc,
		"regexall": stdlib.RegexAllFunc, "replace": stdlib.ReplaceFunc, "reverse": stdlib.ReverseListFunc,
		"slice": stdlib.SliceFunc, "sort": stdlib.SortFunc, "split": stdlib.SplitFunc,
		"strlen": stdlib.StrlenFunc, "substr": stdlib.SubstrFunc, "title": stdlib.TitleFunc,
		"tolist": stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)), "tomap": stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)),
		"tonumber": stdlib.MakeToFunc(cty.Number), "toset": stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)),
		"tostring": stdlib.MakeToFunc(cty.String), "trim": stdlib.TrimFunc, "trimprefix": stdlib.TrimPrefixFunc,
		"trimspace": stdlib.TrimSpaceFunc, "trimsuffix": stdlib.TrimSuffixFunc, "upper": stdlib.UpperFunc,
		"values": stdlib.ValuesFunc, "zipmap": stdlib.ZipmapFunc,
	}
}

// cidrHost is cidrhost(range, n): the n-th address of a range; a negative n counts
// from its end.
var cidrHost = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "range", Type: cty.String}, {Name: "n", Type: cty.Number}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		var n int64
		if err := gocty.FromCtyValue(args[1], &n); err != nil {
			return cty.NilVal, function.NewArgErrorf(1, "it must be a whole number")
		}
		p, err := netip.ParsePrefix(args[0].AsString())
		if err != nil || p.Addr().Is4In6() {
			return cty.NilVal, function.NewArgErrorf(0, "%q is no range such as \"192.168.56.0/24\"", args[0].AsString())
		}
		size := new(big.Int).Lsh(big.NewInt(1), uint(p.Addr().BitLen()-p.Bits()))
		at := big.NewInt(n)
		if n < 0 {
			at.Add(at, size)
		}
		if at.Sign() < 0 || at.Cmp(size) >= 0 {
			return cty.NilVal, function.NewArgErrorf(1, "%s has %s addresses, there is no number %d", p, size, n)
		}
		base := p.Masked().Addr().AsSlice()
		at.Add(at, new(big.Int).SetBytes(base)).FillBytes(base)
		addr, _ := netip.AddrFromSlice(base)
		return cty.StringVal(addr.String()), nil
	},
})

// env is env(name) or env(name, default): a variable of the environment.
var env = function.New(&function.Spec{
	Params:   []function.Parameter{{Name: "name", Type: cty.String}},
	VarParam: &function.Parameter{Name: "default", Type: cty.String},
	Type:     function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if value, ok := os.LookupEnv(args[0].AsString()); ok {
			return cty.StringVal(value), nil
		}
		if len(args) == 2 {
			return args[1], nil
		}
		return cty.NilVal, function.NewArgErrorf(0, "%s is not set in the environment; env(name, default) has a default", args[0].AsString())
	},
})

// file is file(path): a text file's content, the path relative to dir.
func file(dir string) function.Function {
	l := loader{dir: dir}
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			name := l.path(args[0].AsString())
			data, err := readFile(name)
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(0, "%s cannot be read: %s", filepath.Base(name), reason(err))
			}
			if !utf8.Valid(data) {
				return cty.NilVal, fmt.Errorf("%s is not UTF-8 text", filepath.Base(name))
			}
			return cty.StringVal(string(data)), nil
		},
	})
}
