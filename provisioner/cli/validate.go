package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"provision/components"
	"provision/provisioner/addon"
	"provision/provisioner/config"
)

func (a *app) validateCommand() *cobra.Command {
	cmd := a.withFile(&cobra.Command{
		Use:   "validate FILE",
		Short: "Check a cluster file without touching any machine",
		Long: `Check a cluster file without touching any machine. Every mistake is shown at once,
with its place in the file and what would be right. With --json they are one JSON
document on standard output, each with file, line, column, severity, summary and
detail. Warnings do not make a file invalid.

    provision validate cluster.hcl
    provision validate cluster.hcl --var-file site.vars
    provision validate cluster.hcl --json | jq -r '.diagnostics[].summary'

Exit status: 0 valid, 1 not.`,
		RunE: func(_ *cobra.Command, args []string) error {
			if a.json {
				return a.validateJSON(args[0])
			}
			file, err := a.load(args[0])
			if err != nil {
				return err
			}
			masters := 0
			for _, m := range file.Machines {
				if m.Role == config.Master {
					masters++
				}
			}
			_, err = fmt.Fprintf(a.stdout, "%s is valid: cluster %q, %d master(s), %d worker(s)\n",
				args[0], file.Cluster.Name, masters, len(file.Machines)-masters)
			return err
		},
	})
	cmd.Flags().BoolVar(&a.json, "json", false, "print what is wrong as JSON")
	return cmd
}

// validation is what `validate --json` prints.
type validation struct {
	Valid       bool             `json:"valid"`
	Diagnostics []config.Mistake `json:"diagnostics"`
}

func (a *app) validateJSON(path string) error {
	file, diags, err := a.read(path)
	if err != nil {
		return err
	}
	if err := a.printer().Document(validation{Valid: file != nil, Diagnostics: diags.List()}); err != nil {
		return err
	}
	if file == nil {
		return status(exitFailed)
	}
	return nil
}

// load reads the cluster file, and says all its mistakes at once.
func (a *app) load(path string) (*config.File, error) {
	file, diags, err := a.read(path)
	if err != nil {
		return nil, err
	}
	config.Write(a.stderr, diags, a.printer().Colour())
	if file == nil {
		return nil, status(exitFailed)
	}
	return file, nil
}

// addons are the file's, for that version of Kubernetes, with their images' sums. What
// is wrong whatever the version was said by load.
func (a *app) addons(file *config.File, version string) ([]components.Addon, error) {
	var diags config.Diagnostics
	own := addon.Read(file, version, &diags)
	if diags.HasErrors() {
		config.Write(a.stderr, diags, a.printer().Colour())
		return nil, status(exitFailed)
	}
	return own, addon.Images(own)
}

// read reads the cluster file with the values that the command line gives it.
func (a *app) read(path string) (*config.File, config.Diagnostics, error) {
	vars := map[string]string{}
	for _, v := range a.vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok {
			return nil, config.Diagnostics{}, misuse{fmt.Errorf("--var %s: wants name=value", v)}
		}
		vars[name] = value
	}
	file, diags := config.Load(path, vars, a.varFiles...)
	if file == nil {
		return nil, diags, nil
	}
	if addon.Read(file, file.Cluster.Version, &diags); diags.HasErrors() {
		file = nil
	}
	return file, diags, nil
}
