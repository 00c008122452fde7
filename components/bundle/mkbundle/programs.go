package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Where the modules are, and the versions that they pin, which the programs
// are told to say.
const (
	nodeModule     = "components/node"
	upstreamModule = "components/runtime/upstream"
	corednsModule  = "components/images/coredns"
	metricsModule  = "components/images/metrics-server"
	storageModule  = "components/images/local-path-provisioner"

	containerd = "github.com/containerd/containerd/v2"
	cni        = "github.com/containernetworking/plugins"
	runc       = "github.com/opencontainers/runc"
	coredns    = "github.com/coredns/coredns"
	metrics    = "sigs.k8s.io/metrics-server"
	storage    = "github.com/rancher/local-path-provisioner"

	// containerd without what no machine of ours uses: block device and
	// copy-on-write file system snapshotters, and tracing.
	containerdTags = "urfave_cli_no_docs,osusergo,netgo,static_build,no_btrfs,no_devmapper,no_zfs,no_aufs,no_tracing,grpcnotrace"
)

// programs lists every Go program that goes into the bundle as a file.
func (b *builder) programs() ([]program, error) {
	node, err := b.node()
	if err != nil {
		return nil, err
	}
	mod, err := os.ReadFile(filepath.Join(b.root, upstreamModule, "go.mod"))
	if err != nil {
		return nil, err
	}
	upstream := func(name, pkg, tags, ldflags string) program {
		return program{name: name, module: upstreamModule, pkg: pkg, tags: tags, ldflags: ldflags, sealed: true}
	}
	says := fmt.Sprintf("-X %[1]s/version.Version=%[2]s -X %[1]s/version.Package=%[1]s", containerd, pinned(mod, containerd))
	cniSays := "-X " + cni + "/pkg/utils/buildversion.BuildVersion=" + pinned(mod, cni)
	runcProgram := upstream("bin/runc", runc, "seccomp,urfave_cli_no_docs,netgo,osusergo", "-extldflags=-static")
	runcProgram.cgo = true
	return []program{
		node,
		{name: "bin/agent", pkg: "./components/agent"},
		{name: "nft/nft", pkg: "./components/bundle/launcher"},
		upstream("bin/containerd", containerd+"/cmd/containerd", containerdTags, says),
		upstream("bin/ctr", containerd+"/cmd/ctr", containerdTags, says),
		upstream("bin/containerd-shim-runc-v2", containerd+"/cmd/containerd-shim-runc-v2", containerdTags+",no_grpc", says),
		runcProgram,
		upstream("cni/bridge", cni+"/plugins/main/bridge", "", cniSays),
		upstream("cni/host-local", cni+"/plugins/ipam/host-local", "", cniSays),
		upstream("cni/loopback", cni+"/plugins/main/loopback", "", cniSays),
		upstream("cni/portmap", cni+"/plugins/meta/portmap", "", cniSays),
	}, nil
}

// node is Kubernetes, from the module file that pins the wanted version. It
// would say v0.0.0 without the linker's help, and version skew rules with it.
func (b *builder) node() (program, error) {
	modfile, err := b.nodeModfile()
	if err != nil {
		return program{}, err
	}
	numbers := strings.SplitN(b.version, ".", 3)
	if len(numbers) != 3 {
		return program{}, fmt.Errorf("%q is no version like 1.36.3", b.version)
	}
	var ldflags []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, set := range []string{
			"gitVersion=v" + b.version, "gitMajor=" + numbers[0], "gitMinor=" + numbers[1],
			// Neither commit nor date is known of a module, and both would
			// make two builds differ.
			"gitCommit=unknown", "gitTreeState=clean", "buildDate=1970-01-01T00:00:00Z",
		} {
			ldflags = append(ldflags, "-X "+pkg+"."+set)
		}
	}
	return program{
		name: "bin/node", module: nodeModule, modfile: modfile, pkg: ".", sealed: true,
		tags:    "selinux,notest,grpcnotrace", // upstream's own
		ldflags: strings.Join(ldflags, " "),
	}, nil
}

// nodeModfile returns the module file that pins the wanted Kubernetes, "" for
// go.mod.
func (b *builder) nodeModfile() (string, error) {
	mod, err := os.ReadFile(filepath.Join(b.root, nodeModule, "go.mod"))
	if err != nil {
		return "", err
	}
	if pinned(mod, "k8s.io/kubernetes") == "v"+b.version {
		return "", nil
	}
	name := "kubernetes-" + b.version + ".mod"
	if _, err := os.Stat(filepath.Join(b.root, nodeModule, name)); err != nil {
		return "", fmt.Errorf("no module file pins Kubernetes %s: make one with components/node/pin.sh %s", b.version, b.version)
	}
	return name, nil
}

// pinned returns the version of a module in a module file, "" where it is not
// required there.
func pinned(modfile []byte, module string) string {
	for line := range strings.Lines(string(modfile)) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) >= 2 && fields[0] == module {
			return fields[1]
		}
	}
	return ""
}
