package config

import (
	_ "embed"
	"strings"
)

//go:embed starter.hcl
var starter string

// Starter returns a commented cluster file for a cluster of that name, which
// must be a DNS label. It is valid as it is.
func Starter(name string) string {
	return strings.Replace(starter, `cluster "site"`, `cluster "`+name+`"`, 1)
}
