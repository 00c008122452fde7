package config

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// documented are the sections of the reference and the part of the schema that
// each is about.
var documented = map[string]any{
	"## cluster":                     clusterSchema{},
	"### cluster.network":            networkSchema{},
	"### cluster.overlay":            overlaySchema{},
	"### cluster.addons":             addonsSchema{},
	"### cluster.api":                apiSchema{},
	"### cluster.certificates":       certificatesSchema{},
	"### cluster.failover":           failoverSchema{},
	"### cluster.kubelet":            kubeletSchema{},
	"### cluster.proxy":              proxySchema{},
	"### machine.proxy":              proxySchema{},
	"### cluster.apiserver":          flagsSchema{},
	"### cluster.controller_manager": flagsSchema{},
	"### cluster.scheduler":          flagsSchema{},
	"### cluster.registry":           registrySchema{},
	"### cluster.verify":             verifySchema{},
	"### machine.kubelet":            kubeletSchema{},
	"### cluster.ssh":                sshSchema{},
	"### cluster.ssh.bastion":        bastionSchema{},
	"## machine":                     machineSchema{},
	"### machine.ssh":                machineSSHSchema{},
	"### machine.ssh.bastion":        bastionSchema{},
	"## addon":                       addonSchema{},
	"## variable":                    variableSchema{},
	"## locals":                      nil,
	"## Functions":                   nil,
	"## Several machines at once":    nil,
}

// reference returns the sections of docs/cluster-hcl.md by heading, without
// the label that a block's heading has.
func reference(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/cluster-hcl.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	heading := ""
	for line := range strings.SplitSeq(string(text), "\n") {
		if strings.HasPrefix(line, "##") {
			heading, _, _ = strings.Cut(line, ` "`)
		}
		sections[heading] += line + "\n"
	}
	delete(sections, "")
	return sections
}

// attributes and blocks of a part of the schema, from its tags.
func tags(schema any) (attributes, blocks []string) {
	t := reflect.TypeOf(schema)
	for i := range t.NumField() {
		name, kind, _ := strings.Cut(t.Field(i).Tag.Get("hcl"), ",")
		switch kind {
		case "", "optional":
			attributes = append(attributes, name)
		case "block":
			blocks = append(blocks, name)
		}
	}
	slices.Sort(attributes)
	return attributes, blocks
}

var row = regexp.MustCompile("(?m)^\\| `(\\w+)` \\|")

// The reference names every attribute and block that there is, and no other.
func TestReferenceMatchesSchema(t *testing.T) {
	sections := reference(t)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(sections))); diff != "" {
		t.Errorf("sections, -wanted +found:\n%s", diff)
	}
	for heading, schema := range documented {
		if schema == nil {
			continue
		}
		attributes, blocks := tags(schema)
		var found []string
		for _, match := range row.FindAllStringSubmatch(sections[heading], -1) {
			found = append(found, match[1])
		}
		if heading == "### machine.ssh.bastion" { // told in a line
			for _, match := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(sections[heading], -1) {
				found = append(found, match[1])
			}
		}
		slices.Sort(found)
		if diff := cmp.Diff(attributes, found); diff != "" {
			t.Errorf("%s: attributes, -schema +reference:\n%s", heading, diff)
		}
		for _, block := range blocks {
			if path := strings.TrimLeft(heading, "# ") + "." + block; sections["### "+path] == "" {
				t.Errorf("the reference has no section %s", path)
			}
		}
	}
	_, top := tags(fileSchema{})
	for _, block := range top {
		if sections["## "+block] == "" {
			t.Errorf("the reference has no section %s", block)
		}
	}
}

// It names every function that there is, and no other.
func TestReferenceNamesFunctions(t *testing.T) {
	var found []string
	for _, match := range regexp.MustCompile("`([a-z]+)[(`]").FindAllStringSubmatch(reference(t)["## Functions"], -1) {
		if !slices.Contains(found, match[1]) {
			found = append(found, match[1])
		}
	}
	slices.Sort(found)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(functions("."))), found); diff != "" {
		t.Errorf("-there are +reference:\n%s", diff)
	}
}

// The reference's defaults are the ones that a file without them has.
func TestReferenceTellsDefaults(t *testing.T) {
	file, shown := load(t, "cluster \"c\" {}\nmachine \"m1\" { address = \"10.0.0.1\" }", nil)
	if file == nil {
		t.Fatal(shown)
	}
	c := file.Cluster
	sections := reference(t)
	for _, want := range []string{
		"### cluster.network: | `pods` | `\"" + c.Network.Pods.String() + "\"` |",
		"### cluster.network: | `services` | `\"" + c.Network.Services.String() + "\"` |",
		"### cluster.network: | `domain` | `\"" + c.Network.Domain + "\"` |",
		"## cluster: | `max_unavailable` | `\"" + strconv.Itoa(c.MaxUnavailable.Percent) + "%\"` |",
		"### cluster.failover: | `detect` | `\"" + c.Failover.Detect.String() + "\"` |",
		"### cluster.failover: | `evict` | `\"" + c.Failover.Evict.String() + "\"` |",
		"### cluster.overlay: | `mode` | `\"" + c.Overlay.Mode + "\"` |",
		"### cluster.ssh: | `user` | `\"" + file.Machines[0].SSH.User + "\"` |",
	} {
		heading, text, _ := strings.Cut(want, ": ")
		if !strings.Contains(sections[heading], text) {
			t.Errorf("%s does not say: %s", heading, text)
		}
	}
}

// Every example is a file without a mistake, or even a doubt.
func TestExamples(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("SSH_AUTH_SOCK", "")
	files, _ := filepath.Glob("../../examples/*.hcl")
	more, _ := filepath.Glob("../../examples/*/*.hcl")
	if files = append(files, more...); len(files) < 4 {
		t.Fatalf("found only %q", files)
	}
	for _, name := range files {
		_, diags := Load(name, nil)
		var shown strings.Builder
		Write(&shown, diags, false)
		if shown.Len() > 0 {
			t.Errorf("%s:\n%s", name, shown.String())
		}
	}
}
