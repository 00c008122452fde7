// Package addon makes the user's addons ready to be applied: it renders charts, looks
// into the manifests that a cluster file names, and takes the sums of image archives.
// What is wrong is said with its place in the cluster file, before any machine is
// touched; whether the API takes an object is for the API to say.
package addon

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"provision/components"
	"provision/components/manifest"
	"provision/provisioner/config"
)

// Read looks into every addon of the file, whose charts are told that version of
// Kubernetes. Mistakes are added to diags. Images are not opened: see Images.
func Read(file *config.File, version string, diags *config.Diagnostics) []components.Addon {
	var addons []components.Addon
	owner := map[components.Object]string{}
	for _, from := range file.Addons {
		a := components.Addon{Name: from.Name, Namespace: from.Namespace}
		for _, path := range from.Images {
			a.Images = append(a.Images, components.Archive{Path: path})
		}
		refuse := func(summary, format string, args ...any) {
			diags.Refuse(from.Place, summary, fmt.Sprintf(format, args...))
		}
		var text bytes.Buffer
		manifests, sum := from.Manifests, ""
		if from.Chart != "" {
			made, err := render(from, version)
			if err != nil {
				refuse("Invalid chart", "%s: %s.", from.Chart, strings.TrimSuffix(err.Error(), "."))
				continue
			}
			if len(made.hooks) > 0 {
				diags.Warn(from.Place, "Hooks left out", fmt.Sprintf("%s has hooks (%s), which only helm itself runs: what they do is not done.", from.Chart, strings.Join(made.hooks, ", ")))
			}
			manifests = append([]config.Manifest{{Path: from.Chart, Text: made.text}}, manifests...)
			sum = made.sum
		}
		if needsNamespace(a.Namespace) {
			fmt.Fprintf(&text, "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: %s\n---\n", a.Namespace)
			a.Objects = append(a.Objects, components.Object{APIVersion: "v1", Kind: "Namespace", Name: a.Namespace})
		}
		for _, m := range manifests {
			objects, err := manifest.Objects(m.Text)
			if err != nil {
				refuse("Invalid manifest", "%s: %s.", m.Path, err)
				continue
			}
			if len(objects) == 0 {
				refuse("Empty manifest", "%s holds no object.", m.Path)
			}
			text.Write(m.Text)
			text.WriteString("\n---\n")
			for _, o := range objects {
				if o.Kind == "Namespace" && o.Name == a.Namespace {
					continue // it says more of the namespace than we do
				}
				o.Namespace = cmp.Or(o.Namespace, a.Namespace)
				if slices.ContainsFunc(a.Objects, o.Same) {
					refuse("Duplicate object", "%s: %s is in this addon already.", m.Path, o)
				}
				a.Objects = append(a.Objects, o)
			}
		}
		for _, o := range a.Objects {
			if o.Kind == "Namespace" && o.Name == a.Namespace {
				continue // several may be in one
			}
			for other, name := range owner {
				if o.Same(other) {
					refuse("Duplicate object", "%s is in the addon %q as well: it belongs to one.", o, name)
				}
			}
		}
		for _, o := range a.Objects {
			owner[o] = a.Name
		}
		a.Manifests = text.Bytes()
		a.Sum = sumOfAll(a, sum, from.Manifests)
		addons = append(addons, a)
	}
	return addons
}

// sumOfAll is of what an addon is made of: of a chart, that is not its text.
func sumOfAll(a components.Addon, chart string, manifests []config.Manifest) string {
	all := [][]byte{[]byte(a.Namespace + "\n" + chart)}
	for _, m := range manifests {
		all = append(all, []byte("\n---\n"), m.Text)
	}
	return components.Sum(slices.Concat(all...))
}

// needsNamespace says that a namespace is not there in every cluster.
func needsNamespace(name string) bool { return !slices.Contains(components.Namespaces, name) }

// Images takes the sums of the addons' image archives, which reads them whole.
func Images(addons []components.Addon) error {
	for i := range addons {
		for j := range addons[i].Images {
			archive := &addons[i].Images[j]
			if err := sum(archive); err != nil {
				return fmt.Errorf("addon %s: %w", addons[i].Name, err)
			}
		}
	}
	return nil
}

func sum(archive *components.Archive) error {
	f, err := os.Open(archive.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if archive.Size, err = io.Copy(h, f); err != nil {
		return err
	}
	archive.SHA256 = hex.EncodeToString(h.Sum(nil))
	return nil
}
