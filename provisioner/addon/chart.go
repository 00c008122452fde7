package addon

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"

	"provision/components"
	"provision/provisioner/config"
)

// anyKubernetes is what charts are told where no bundle was chosen yet.
const anyKubernetes = "1.36.0"

// rendered is a chart's text.
type rendered struct {
	text []byte
	// sum is of what it was made of, which a random password in it does not change.
	sum   string
	hooks []string // events of hooks, which nothing here runs
}

// render renders a chart as `helm template` would, for Kubernetes of that version. It
// asks no cluster and no other computer.
func render(from config.Addon, version string) (rendered, error) {
	ch, err := loader.Load(from.Chart)
	if err != nil {
		return rendered{}, err
	}
	if err := usable(ch); err != nil {
		return rendered{}, err
	}
	capabilities := chartutil.DefaultCapabilities.Copy()
	kubernetes, err := chartutil.ParseKubeVersion("v" + cmp.Or(version, anyKubernetes))
	if err != nil {
		return rendered{}, err
	}
	capabilities.KubeVersion = *kubernetes
	if wants := ch.Metadata.KubeVersion; wants != "" && !chartutil.IsCompatibleRange(wants, kubernetes.Version) {
		return rendered{}, fmt.Errorf("it wants Kubernetes %s, and the cluster's is %s", wants, kubernetes.Version)
	}
	sum, err := sumOf(ch, from.Values, kubernetes.Version)
	if err != nil {
		return rendered{}, err
	}
	if err := chartutil.ProcessDependencies(ch, from.Values); err != nil {
		return rendered{}, err
	}
	options := chartutil.ReleaseOptions{Name: from.Name, Namespace: from.Namespace, Revision: 1, IsInstall: true}
	values, err := chartutil.ToRenderValues(ch, from.Values, options, capabilities)
	if err != nil {
		return rendered{}, err
	}
	files, err := engine.Render(ch, values)
	if err != nil {
		return rendered{}, err
	}
	for name := range files {
		if path.Base(name) == "NOTES.txt" {
			delete(files, name)
		}
	}
	hooks, manifests, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return rendered{}, err
	}
	var text bytes.Buffer
	for _, crd := range ch.CRDObjects() {
		fmt.Fprintf(&text, "%s\n---\n", crd.File.Data)
	}
	for _, m := range manifests {
		fmt.Fprintf(&text, "%s\n---\n", m.Content)
	}
	return rendered{text.Bytes(), sum, events(hooks)}, nil
}

// usable refuses what cannot be rendered whole.
func usable(ch *chart.Chart) error {
	if err := ch.Validate(); err != nil {
		return err
	}
	if ch.Metadata.Type == "library" {
		return errors.New("it is a library, which other charts use, and holds nothing itself")
	}
	for _, wanted := range ch.Metadata.Dependencies {
		if !slices.ContainsFunc(ch.Dependencies(), func(c *chart.Chart) bool { return c.Name() == wanted.Name }) {
			return fmt.Errorf("the chart %s, which it depends on, is not in its charts folder: helm dependency build fetches it", wanted.Name)
		}
	}
	return nil
}

// sumOf is of everything that a chart's text is made of.
func sumOf(ch *chart.Chart, values map[string]any, version string) (string, error) {
	told, err := json.Marshal(values) // maps are marshalled in order
	if err != nil {
		return "", err
	}
	all := []string{version, string(told)}
	files := slices.Clone(ch.Raw)
	slices.SortFunc(files, func(a, b *chart.File) int { return strings.Compare(a.Name, b.Name) })
	for _, file := range files {
		all = append(all, file.Name, components.Sum(file.Data))
	}
	return components.Sum([]byte(strings.Join(all, "\n"))), nil
}

// events are those of hooks that an installation would have run; tests are nobody's loss.
func events(hooks []*release.Hook) []string {
	var names []string
	for _, hook := range hooks {
		for _, event := range hook.Events {
			if event != release.HookTest && !slices.Contains(names, string(event)) {
				names = append(names, string(event))
			}
		}
	}
	slices.Sort(names)
	return names
}
