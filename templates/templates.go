// Package templates holds every file that is put on a machine or into a
// cluster, as it will look: real files below files/, embedded, each with one
// type of values, one function and one golden.
//
// It decides nothing. Values come from the packages of components; paths are
// written out in the files, where a reader expects them, and agree with
// components/paths.go.
package templates

import (
	"bytes"
	"embed"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"text/template"
	"time"
)

//go:embed files
var embedded embed.FS

var parsed = template.Must(template.New("").
	Option("missingkey=error").
	Funcs(template.FuncMap{"quote": strconv.Quote, "list": list, "seconds": seconds}).
	ParseFS(embedded, "files/*"))

// list writes values as flags take several of them: with commas in between.
func list(values any) string {
	var text []string
	of := reflect.ValueOf(values)
	for i := range of.Len() {
		text = append(text, fmt.Sprint(of.Index(i)))
	}
	return strings.Join(text, ",")
}

// seconds writes a duration as systemd reads it.
func seconds(d time.Duration) string { return strconv.Itoa(int(d/time.Second)) + "s" }

// render fills a template in. The types fit the templates, which the goldens
// show, so that an error is a mistake in this package.
func render(name string, values any) []byte {
	var text bytes.Buffer
	if err := parsed.ExecuteTemplate(&text, name, values); err != nil {
		panic("templates: " + err.Error())
	}
	return text.Bytes()
}
