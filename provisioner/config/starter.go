package config

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed starter.hcl
var starter string

// Starter returns a commented cluster file for a cluster of that name, which
// must be a DNS label. It is valid as it is.
func Starter(name string) (string, error) {
	if !isLabel(name) {
		return "", fmt.Errorf("%q cannot be a cluster's name: %s", name, labelRule)
	}
	return strings.Replace(starter, `cluster "site"`, `cluster "`+name+`"`, 1), nil
}
