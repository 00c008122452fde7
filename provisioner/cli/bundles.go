package cli

import (
	"os"
	"path/filepath"

	"provision/provisioner/bundle"
)

// bundle opens the bundle of that version, of the newest where it is "".
func (a *app) bundle(version string) (*bundle.Bundle, error) {
	found, err := bundle.Find(a.bundleDirs(), version)
	if err != nil {
		return nil, err
	}
	return bundle.Open(found)
}

// bundleDirs are the places where a bundle is looked for, in order.
func (a *app) bundleDirs() []string {
	if a.bundles != "" {
		return []string{a.bundles}
	}
	if dir := os.Getenv("PROVISION_BUNDLES"); dir != "" {
		return []string{dir}
	}
	dirs := []string{"dist"}
	if program, err := os.Executable(); err == nil {
		here := filepath.Dir(program)
		dirs = []string{filepath.Join(here, "..", "dist"), filepath.Join(here, "dist"), here, "dist"}
	}
	return dirs
}
