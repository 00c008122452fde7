package archtest

import (
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layers, from the top down: a folder imports itself and what comes after it.
var layers = []string{"provisioner", "components", "overlay", "templates"}

func layer(dir string) int {
	return slices.IndexFunc(layers, func(top string) bool { return in(dir, top) })
}

func TestImportsFlowOneWay(t *testing.T) {
	for _, f := range source(t) {
		for _, imported := range f.ours() {
			switch {
			case in(f.dir, "testenv"):
				if !in(imported, "testenv") {
					t.Errorf("%s imports %s: testenv knows nothing of the rest", f.name, imported)
				}
			case in(imported, "testenv"):
				if !f.test {
					t.Errorf("%s imports %s: only tests stand on the lab", f.name, imported)
				}
			case layer(f.dir) < 0 || layer(imported) < 0:
				t.Errorf("%s imports %s: one of them is in no layer of %q", f.name, imported, layers)
			case layer(f.dir) > layer(imported):
				t.Errorf("%s imports %s: imports flow %s", f.name, imported, strings.Join(layers, " → "))
			}
		}
	}
}

// bans are imports that some folders must not have, themselves or through
// others of ours, their tests left aside.
var bans = []struct {
	who, except []string
	what        []string
	why         string
}{
	{
		who:  []string{"provisioner"},
		what: []string{"provision/components/node", "provision/components/agent", "k8s.io/kubernetes", "github.com/vishvananda/netlink", "github.com/google/nftables"},
		why:  "the operator's tool builds for other systems than Linux, and links no Kubernetes",
	},
	{
		who:    []string{"provisioner", "components", "overlay", "templates", "testenv"},
		except: []string{"components/node"},
		what:   []string{"k8s.io/kubernetes", "go.etcd.io/etcd/server"},
		why:    "only components/node links Kubernetes and etcd",
	},
	{
		who:    []string{"components"},
		except: []string{"components/agent"},
		what:   []string{"github.com/hashicorp/hcl", "golang.org/x/crypto/ssh", "github.com/pkg/sftp"},
		why:    "components see neither HCL nor SSH",
	},
	{
		who:    []string{"overlay"},
		except: []string{"overlay/agent", "overlay/device", "overlay/host", "overlay/notices", "overlay/rules", "overlay/userspace"},
		what:   []string{"github.com/vishvananda/netlink", "github.com/google/nftables", "golang.zx2c4.com/wireguard/wgctrl", "golang.zx2c4.com/wireguard/device"},
		why:    "the mesh's model is plain data: what touches the kernel has packages of its own",
	},
	{
		who:  []string{"provisioner/config"},
		what: []string{"provision"},
		why:  "config imports nothing of ours",
	},
	{
		who:  []string{"provisioner/facts", "provisioner/kube", "provisioner/verify"},
		what: []string{"github.com/hashicorp/hcl", "golang.org/x/crypto/ssh", "provision/provisioner/config"},
		why:  "they see machines and wishes; how those were written down and are reached is decided elsewhere",
	},
}

func TestBannedImports(t *testing.T) {
	files := source(t)
	graph := importGraph(files)
	for dir := range graph {
		reached := reach(graph, dir)
		for _, ban := range bans {
			if !in(dir, ban.who...) || in(dir, ban.except...) {
				continue
			}
			for name, through := range reached {
				if in(name, ban.what...) {
					t.Errorf("%s imports %s (%s): %s", dir, name, through, ban.why)
				}
			}
		}
	}
}

// importGraph maps each folder of ours to what its files import, tests left out.
func importGraph(files []file) map[string][]string {
	graph := map[string][]string{}
	for _, f := range files {
		if !f.test {
			graph[f.dir] = append(graph[f.dir], f.imports...)
		}
	}
	return graph
}

// reach returns everything that a folder imports, with the way there.
func reach(graph map[string][]string, dir string) map[string]string {
	reached := map[string]string{}
	var follow func(dir, way string)
	follow = func(dir, way string) {
		for _, name := range graph[dir] {
			if _, seen := reached[name]; seen {
				continue
			}
			reached[name] = way
			if next, found := strings.CutPrefix(name, "provision/"); found {
				follow(next, way+" → "+next)
			}
		}
	}
	follow(dir, dir)
	return reached
}

// The bans name folders that exist: one that was renamed would go unwatched.
func TestBansNameFolders(t *testing.T) {
	graph := importGraph(source(t))
	dirs := slices.Collect(maps.Keys(graph))
	for _, ban := range bans {
		for _, name := range append(slices.Clone(ban.who), ban.except...) {
			if !slices.ContainsFunc(dirs, func(dir string) bool { return in(dir, name) }) {
				t.Errorf("no package is at %s any more", name)
			}
		}
	}
}

// The tool has every package that it needs on every system that it builds for.
// That it compiles there is a step of testenv/test.sh.
func TestToolHasItsPackagesEverywhere(t *testing.T) {
	for _, system := range []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64"} {
		goos, goarch, _ := strings.Cut(system, "/")
		list := exec.Command("go", "list", "-deps", "-e", "-f", "{{with .Error}}{{.}}{{end}}", "./provisioner/cmd/provision")
		list.Dir = root
		list.Env = append(list.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
		output, err := list.CombinedOutput()
		if text := strings.TrimSpace(string(output)); err != nil || text != "" {
			t.Errorf("%s: %v\n%s", system, err, text)
		}
	}
}
