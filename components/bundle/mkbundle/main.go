// Command mkbundle builds a bundle from source: it compiles the programs of
// this repository's modules, makes the images, takes nft from Debian, and
// writes one archive with a manifest.
//
// Equal sources give equal bytes. What was built before is kept in the cache
// folder by what it was built from, so a second call does little.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// builder is one call: what to build, from where, to where.
type builder struct {
	root    string // the repository
	out     string // folder of the finished bundle
	cache   cache
	version string // of Kubernetes: "1.36.3"
	arch    string // Go's name: "amd64"
	gover   string // of the Go toolchain, part of every cache key
	start   time.Time
}

func main() {
	var b builder
	var cacheDir string
	flag.StringVar(&b.root, "root", ".", "the repository")
	flag.StringVar(&b.out, "out", "dist", "folder for the bundle")
	flag.StringVar(&cacheDir, "cache", "dist/.cache", "folder for what was built before")
	flag.StringVar(&b.version, "kubernetes", "1.36.3", "version of Kubernetes, without a leading v")
	flag.StringVar(&b.arch, "arch", runtime.GOARCH, "architecture, as Go names it")
	flag.Parse()
	b.start = time.Now()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.run(ctx, cacheDir); err != nil {
		fmt.Fprintf(os.Stderr, "mkbundle: %v\n", err)
		os.Exit(1)
	}
}

func (b *builder) run(ctx context.Context, cacheDir string) error {
	var err error
	for _, dir := range []*string{&b.root, &b.out, &cacheDir} {
		if *dir, err = filepath.Abs(*dir); err != nil {
			return err
		}
	}
	b.cache = cache{dir: cacheDir}
	if err := b.cache.lock(); err != nil {
		return err
	}
	if b.gover, err = b.goVersion(ctx); err != nil {
		return err
	}
	files, err := b.collect(ctx)
	if err != nil {
		return err
	}
	if err := b.write(files); err != nil {
		return err
	}
	return b.cache.prune(14 * 24 * time.Hour)
}

// say tells the person who waits what was done, and when.
func (b *builder) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(b.start).Seconds(), fmt.Sprintf(format, args...))
}
