package main

import (
	"context"
	"fmt"
	"runtime"
)

// compilers names the C compiler for each architecture, as Debian calls them.
var compilers = map[string]string{
	"amd64": "x86_64-linux-gnu-gcc",
	"arm64": "aarch64-linux-gnu-gcc",
}

func (b *builder) compiler() string {
	if b.arch == runtime.GOARCH {
		return "gcc"
	}
	return compilers[b.arch]
}

// cgoEnv is what runc is compiled with: only C flags of ours, and for another
// architecture the libseccomp that was unpacked for it.
func (b *builder) cgoEnv() []string {
	env := []string{"CGO_ENABLED=1", "CC=" + b.compiler(), "CGO_CFLAGS=-O2", "CGO_LDFLAGS=-O2"}
	if b.arch != runtime.GOARCH {
		sysroot := b.sysroot()
		env = append(env,
			"PKG_CONFIG_LIBDIR="+sysroot+"/usr/lib/"+triplets[b.arch]+"/pkgconfig",
			"PKG_CONFIG_SYSROOT_DIR="+sysroot)
	}
	return env
}

// compilerVersion names the C compiler and the libseccomp that is linked.
func (b *builder) compilerVersion(ctx context.Context) (string, error) {
	gcc, err := output(ctx, b.root, nil, b.compiler(), "--version")
	if err != nil {
		return "", fmt.Errorf("the C compiler is missing (components/prepare.sh installs it): %w", err)
	}
	env := b.cgoEnv()
	seccomp, err := output(ctx, b.root, env, "pkg-config", "--modversion", "libseccomp")
	if err != nil {
		return "", fmt.Errorf("libseccomp's headers are missing (components/prepare.sh installs them): %w", err)
	}
	return string(gcc) + string(seccomp), nil
}
