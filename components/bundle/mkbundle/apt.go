package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// download fetches packages of the wanted architecture into a folder. For the
// host's own it uses apt as it is; for another one it keeps lists of its own,
// so that the host's list of architectures stays as it was.
func (b *builder) download(ctx context.Context, dir string, packages []string) error {
	var options []string
	if b.arch != runtime.GOARCH {
		var err error
		if options, err = b.foreignApt(); err != nil {
			return err
		}
	}
	get := func(args ...string) error {
		env := []string{"LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"}
		// apt drops to a user who may not write here, which it only warns of.
		_, err := output(ctx, dir, env, "apt-get", append(append([]string{"-q", "-o", "APT::Sandbox::User=root"}, options...), args...)...)
		return err
	}
	err := error(nil)
	if len(options) == 0 {
		// The lists are often there already, and reading them again takes seconds.
		if err = get(append([]string{"download"}, packages...)...); err == nil {
			return nil
		}
	}
	if err := get("update"); err != nil {
		return fmt.Errorf("apt's lists of packages: %w", err)
	}
	if err := get(append([]string{"download"}, packages...)...); err != nil {
		return fmt.Errorf("packages for %s: %w", b.arch, err)
	}
	return nil
}

// foreignApt returns options that make apt work for another architecture with
// the host's sources and keys.
func (b *builder) foreignApt() ([]string, error) {
	state := b.cache.path("apt", b.arch)
	for _, dir := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(state, dir), 0o755); err != nil {
			return nil, err
		}
	}
	status := filepath.Join(state, "status")
	if err := os.WriteFile(status, nil, 0o644); err != nil {
		return nil, err
	}
	var options []string
	for name, value := range map[string]string{
		"APT::Architecture":               b.arch,
		"APT::Architectures":              b.arch,
		"Dir::State::Lists":               filepath.Join(state, "lists"),
		"Dir::State::status":              status,
		"Dir::Cache":                      state,
		"Dir::Etc::SourceParts":           "/etc/apt/sources.list.d",
		"Acquire::Languages":              "none",
		"APT::Get::List-Cleanup":          "false",
		"Acquire::AllowReleaseInfoChange": "true",
	} {
		options = append(options, "-o", strings.Join([]string{name, value}, "="))
	}
	return options, nil
}

// sysroot is where libseccomp for another architecture is unpacked.
func (b *builder) sysroot() string {
	return b.cache.path("debian", b.arch+"-"+key(sysrootPackages...)[:12])
}

// sysrootPackages is what runc is linked with, where the host's own will not do.
var sysrootPackages = []string{"libseccomp-dev"}
