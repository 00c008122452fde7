//go:build lab

package facts

import (
	"slices"
	"strings"
	"testing"
)

// TestADamagedBundleIsFound: by what is gone, or has another size, mode or time; and an
// agent by its sum.
func TestADamagedBundleIsFound(t *testing.T) {
	const sum = "6ddf9e4f40a00c9c803fc850c98175fc269762f22bc2d0e4112b65ec1efba16a"
	const whole = `mkdir -p opt/provision/new/bin; cd opt/provision
		printf node >new/bin/node; printf ctr >new/bin/ctr; printf ld >new/bin/ld-linux-x86-64.so.2; chmod 755 new/bin/*
		printf '{"format":1,"files":[{"name":"bin/node","size":4,"sha256":"SUM","mode":493},{"name":"bin/ctr","size":3,"sha256":"SUM","mode":493},{"name":"bin/ld-linux-x86-64.so.2","size":2,"sha256":"SUM","mode":493}],"images":[{"name":"x","file":"y"}]}\n' >new/manifest.json
		id=1.36.3-$(sha256sum <new/manifest.json | cut -c 1-12); mv new $id; touch -d '1 hour ago' $id/bin/* ; touch -d '1 minute ago' $id/sealed
		sum=$(printf agent | sha256sum | cut -c 1-12); mkdir agent-$sum; printf agent >agent-$sum/agent; chmod 755 agent-$sum/agent; `
	for name, test := range map[string]struct {
		do      string
		damaged []string
		agents  int
	}{
		"nothing":               {"", nil, 1},
		"a file is gone":        {"rm $id/bin/ctr", []string{"bin/ctr"}, 1},
		"a file is longer":      {"printf more >>$id/bin/node", []string{"bin/node"}, 1},
		"a file is another":     {"printf NODE >$id/bin/node", []string{"bin/node"}, 1},
		"a file does not run":   {"chmod 644 $id/bin/node $id/bin/ctr", []string{"bin/node", "bin/ctr"}, 1},
		"no seal":               {"rm $id/sealed; touch $id/bin/node", nil, 1},
		"the manifest":          {"printf ' ' >>$id/manifest.json", []string{"manifest.json"}, 1},
		"the agent":             {"printf more >>agent-$sum/agent", nil, 0},
		"a file of somebody's":  {"echo >$id/notes", nil, 1},
		"another bundle beside": {"cp -a $id 1.36.2-0123456789ab", []string{"manifest.json"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := lookAt(t, strings.ReplaceAll(whole, "SUM", sum)+test.do+"\ncd ../..")
			var damaged []string
			for _, path := range f.Damaged {
				_, file, _ := strings.Cut(path, "/")
				damaged = append(damaged, file)
			}
			other := name == "another bundle beside"
			if !slices.Equal(damaged, test.damaged) || (len(f.Bundles) == 1) != (len(damaged) == 0 || other) || len(f.Agents) != test.agents {
				t.Errorf("damaged %q, bundles %q, agents %v", f.Damaged, f.Bundles, f.Agents)
			}
		})
	}
}
