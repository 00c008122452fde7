package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// program is one Go program of the bundle.
type program struct {
	name    string // in the bundle: "bin/node"
	module  string // folder of its module below the root
	modfile string // another module file in that folder; "" means go.mod
	pkg     string // what to build
	tags    string // comma separated
	ldflags string
	cgo     bool
	// sealed says that the module's own folder and its sums hold all that the
	// program is made of, so that the folder's hash can stand for it. The root
	// module's programs are not: there Go decides what is up to date.
	sealed bool
}

// build returns the program's bytes.
func (b *builder) build(ctx context.Context, p program) ([]byte, error) {
	if !p.sealed {
		out := b.cache.path("live", b.arch+"/"+filepath.Base(p.name))
		return b.compile(ctx, p, out)
	}
	id, err := b.programKey(ctx, p)
	if err != nil {
		return nil, err
	}
	if data, ok := b.cache.get("programs", id); ok {
		return data, nil
	}
	b.say("compiling %s", p.name)
	dir, err := os.MkdirTemp("", "mkbundle-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	data, err := b.compile(ctx, p, filepath.Join(dir, "program"))
	if err != nil {
		return nil, err
	}
	return data, b.cache.put("programs", id, data)
}

func (b *builder) compile(ctx context.Context, p program, out string) ([]byte, error) {
	args := []string{"build", "-trimpath", "-buildvcs=false", "-tags=" + p.tags, "-ldflags=-s -w " + p.ldflags, "-o", out}
	if _, err := b.goRun(ctx, p, append(args, p.modArgs()...), p.pkg); err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	return os.ReadFile(out)
}

func (p program) modArgs() []string {
	if p.modfile == "" {
		return nil
	}
	return []string{"-modfile=" + p.modfile}
}

// programKey hashes everything that a sealed program is built from.
func (b *builder) programKey(ctx context.Context, p program) (string, error) {
	parts := []string{b.gover, b.arch, p.name, p.pkg, p.tags, p.ldflags, fmt.Sprint(p.cgo)}
	modfile := "go.mod"
	if p.modfile != "" {
		modfile = p.modfile
	}
	dir := filepath.Join(b.root, p.module)
	sources, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", err
	}
	sources = append(sources, filepath.Join(dir, modfile), filepath.Join(dir, strings.TrimSuffix(modfile, ".mod")+".sum"))
	for _, source := range sources {
		data, err := os.ReadFile(source)
		if err != nil {
			return "", err
		}
		parts = append(parts, filepath.Base(source), string(data))
	}
	if p.cgo {
		version, err := b.compilerVersion(ctx)
		if err != nil {
			return "", fmt.Errorf("%s: %w", p.name, err)
		}
		parts = append(parts, version)
	}
	return key(parts...), nil
}

// goRun runs the go tool for the program and returns its standard output. The
// environment holds nothing that changes a build but what is named here.
func (b *builder) goRun(ctx context.Context, p program, args []string, pkgs ...string) ([]byte, error) {
	env := []string{"GOOS=linux", "GOARCH=" + b.arch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "CGO_ENABLED=0"}
	if p.cgo {
		env = append(env, b.cgoEnv()...)
	}
	return output(ctx, filepath.Join(b.root, p.module), env, "go", append(args, pkgs...)...)
}

func (b *builder) goVersion(ctx context.Context) (string, error) {
	out, err := output(ctx, b.root, nil, "go", "env", "GOVERSION")
	return strings.TrimSpace(string(out)), err
}

// output runs a program in a folder; its error holds what it said.
func output(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}
