// Package runtime runs containerd, with everything it needs from the bundle,
// beside whatever other runtime a machine has; and gives it the bundle's images.
package runtime

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"provision/components"
	"provision/components/actions"
	"provision/templates"
)

// Socket is containerd's. kubelet.yaml names it too.
const Socket = components.Run + "/containerd/containerd.sock"

const (
	configFile = components.Etc + "/containerd.toml"
	// With containerd's folder goes what says that it has the images.
	imageStamp = components.State + "/containerd/provision-images"
	laterStamp = components.State + "/containerd/provision-images-later"
)

// Unit is containerd's unit.
var Unit = actions.Service("containerd")

// CgroupDriver is who makes the pods' control groups, the same for containerd
// and kubelet. systemd owns a unified hierarchy; of the old ones it uses only
// what its units need, and asking it for each pod's is slow.
func CgroupDriver(f components.Facts) string {
	if f.Cgroup == 1 {
		return "cgroupfs"
	}
	return "systemd"
}

// Path is PATH of processes that run the bundle's programs: kube-proxy and the
// portmap plugin execute nft.
func Path(c components.Cluster) string {
	return "PATH=" + c.BundleDir() + "/bin:" + c.BundleDir() + "/nft:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}

// Paths are the files that facts must look at for this package.
func Paths(c components.Cluster) []string {
	paths := []string{imageStamp, laterStamp}
	for _, addon := range c.Own {
		for _, archive := range addon.Images {
			paths = append(paths, archiveStamp(archive))
		}
	}
	return paths
}

// Actions put containerd's files in place, start it, and import the images.
func Actions(c components.Cluster, _ components.MachineSpec, f components.Facts) []components.Action {
	d := actions.NewDraft("containerd", f)
	d.File(configFile, 0o644, templates.ContainerdTOML(templates.ContainerdConfig{
		Socket:        Socket,
		Bundle:        c.BundleDir(),
		Pause:         c.Image("pause"),
		LowerOOM:      f.LowerOOM,
		SystemdCgroup: CgroupDriver(f) == "systemd",
	}))
	registries(d, c, f)
	d.Unit(Unit, func(sum string) []byte {
		return templates.ContainerdService(templates.Containerd{Process: templates.Process{
			Binary:      c.BundleDir() + "/bin/containerd",
			Environment: []string{Path(c)},
			Sum:         sum,
			LowerOOM:    f.LowerOOM,
		}})
	}, configFile)
	d.Start(true, Unit)
	for _, a := range imports(c, f, imageStamp, func(file string) bool { return !slices.Contains(patient, file) }) {
		d.Add(a)
	}
	return d.Actions()
}

// patient are the images of what nobody waits for: they are imported beside the
// kubelet's start, and not before it.
var patient = []string{"images/metrics-server.tar", "images/local-path-provisioner.tar", "images/volume.tar"}

// Later imports those, where an addon is wanted that needs any.
func Later(c components.Cluster, _ components.MachineSpec, f components.Facts) []components.Action {
	if !c.Addons.Metrics && !c.Addons.Storage {
		return nil
	}
	return imports(c, f, laterStamp, func(file string) bool { return slices.Contains(patient, file) })
}

// imports are those of the bundle's images that are wanted, where the machine was not
// given them as they are now.
func imports(c components.Cluster, f components.Facts, stamp string, wanted func(file string) bool) []components.Action {
	a := ImportImages{Agent: c.Agent(), Bundle: c.BundleDir(), StampFile: stamp}
	var text bytes.Buffer
	for _, image := range c.Bundle.Images {
		if wanted(image.File) {
			a.Images = append(a.Images, image)
			fmt.Fprintf(&text, "%s %s\n", c.Bundle.Files[image.File], image.Name)
		}
	}
	a.Stamp = text.Bytes()
	if len(a.Images) == 0 || f.Files[stamp].SHA256 == components.Sum(a.Stamp) {
		return nil
	}
	return []components.Action{a}
}

// ImportImages gives containerd the bundle's images and pins them.
type ImportImages struct {
	Agent  string
	Bundle string // folder
	Images []components.Image
	// Stamp remembers in StampFile, when it is done, what was imported.
	Stamp     []byte `json:"-"`
	StampFile string `json:"-"`
}

// Component is "containerd".
func (ImportImages) Component() string { return "containerd" }

func (a ImportImages) String() string {
	text := "import images"
	for i, image := range a.Images {
		if i > 0 {
			text += ","
		}
		text += " " + image.Name
	}
	return text
}

// Touches is empty: containerd's folders are ours.
func (ImportImages) Touches() []components.Touch { return nil }

// Apply has the agent import, then writes the stamp.
func (a ImportImages) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	argv := []string{a.Agent, "import-images", "--dir", a.Bundle, "--address", Socket}
	for _, image := range a.Images {
		argv = append(argv, "--image", image.Name)
	}
	if _, err := on.Run(ctx, argv, nil); err != nil {
		return err
	}
	return on.WriteFile(ctx, a.StampFile, 0o644, slices.Clone(a.Stamp))
}
