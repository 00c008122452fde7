package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"provision/provisioner/report"
	"provision/provisioner/verify"
)

// reportFiles are the files that verify leaves beside what it prints.
type reportFiles struct{ junit, html string }

func (r *reportFiles) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.junit, "junit", "", "write the results to a `file` as JUnit's XML, for CI systems")
	cmd.Flags().StringVar(&r.html, "html", "", "write the results to a `file` as a page with each drill's timeline drawn")
}

// report makes the files of what do verifies, also where it fails. Whether they can
// be written is found out first: afterwards a machine's power would be gone for nothing.
func (a *app) report(r reportFiles, do func(found *report.Report) error) error {
	for _, name := range []string{r.junit, r.html} {
		if name == "" {
			continue
		}
		if err := writable(name); err != nil {
			return err
		}
	}
	found := report.Report{At: time.Now()}
	err := do(&found)
	var wrong misuse
	if errors.As(err, &wrong) {
		return err // nothing was looked at
	}
	var said status
	told := func(d verify.Drill) bool { return d.Reason == err.Error() }
	if err != nil && !errors.As(err, &said) && !slices.ContainsFunc(found.Drills, told) {
		found.Problem = err.Error()
	}
	for _, file := range []struct {
		name string
		make func(report.Report) ([]byte, error)
	}{{r.junit, report.JUnit}, {r.html, report.HTML}} {
		if file.name == "" {
			continue
		}
		text, failed := file.make(found)
		if failed == nil {
			failed = replaceFile(file.name, text)
		}
		if failed != nil {
			a.printer().Say("error: ", failed)
			if err == nil {
				err = status(exitFailed)
			}
		}
	}
	return err
}

// writable says why a file could not be written.
func writable(name string) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no file", name)
	}
	probe, err := os.CreateTemp(filepath.Dir(name), ".provision-*")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// replaceFile writes a file in one step, for everybody to read: who looks sees the
// old one or the new one.
func replaceFile(name string, text []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(name), ".provision-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(file.Name())
		}
	}()
	_, err = file.Write(text)
	if err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), name)
}
