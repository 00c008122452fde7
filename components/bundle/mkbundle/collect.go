package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"provision/components/bundle"
	"provision/components/images"
)

// contents is everything that goes into a bundle.
type contents struct {
	mu     sync.Mutex
	files  map[string][]byte // by name
	images []bundle.Image
}

func (c *contents) add(name string, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files[name] = data
}

// collect builds everything, two things at a time: Go uses the cores itself.
func (b *builder) collect(ctx context.Context) (*contents, error) {
	programs, err := b.programs()
	if err != nil {
		return nil, err
	}
	if b.arch != runtime.GOARCH {
		if _, err := b.unpacked(ctx, sysrootPackages); err != nil {
			return nil, err
		}
	}
	c := &contents{files: map[string][]byte{}}
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for _, p := range programs {
		group.Go(func() error {
			data, err := b.build(working, p)
			c.add(p.name, data)
			return err
		})
	}
	images, err := b.images()
	if err != nil {
		return nil, err
	}
	for _, image := range images {
		group.Go(func() error { return b.addImage(working, c, image) })
	}
	debian := &licences{}
	group.Go(func() error { return b.addNft(working, c, debian) })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, image := range images {
		programs = append(programs, image.program)
	}
	return c, b.addLicences(ctx, c, programs, debian)
}

// image is one of our images and the program in it.
type image struct {
	program program
	user    string
}

// images lists the images. The one that makes volumes' folders runs as root: the
// folders are root's, and what is in them anybody's.
func (b *builder) images() ([]image, error) {
	const nobody, root = "65532:65532", "0:0"
	version := func(module, of string) (string, error) {
		mod, err := os.ReadFile(filepath.Join(b.root, module, "go.mod"))
		return pinned(mod, of), err
	}
	metricsVersion, err := version(metricsModule, metrics)
	if err != nil {
		return nil, err
	}
	storageVersion, err := version(storageModule, storage)
	if err != nil {
		return nil, err
	}
	return []image{
		{program: program{name: "pause", pkg: "./components/images/pause"}, user: nobody},
		{program: program{name: "probe", pkg: "./components/images/probe"}, user: nobody},
		{program: program{name: "coredns", module: corednsModule, pkg: ".", tags: "grpcnotrace", sealed: true,
			ldflags: "-X " + coredns + "/coremain.GitCommit=unknown"}, user: nobody},
		{program: program{name: "metrics-server", module: metricsModule, pkg: ".", tags: "grpcnotrace", sealed: true,
			ldflags: "-X k8s.io/client-go/pkg/version.gitVersion=" + metricsVersion}, user: nobody},
		{program: program{name: "local-path-provisioner", module: storageModule, pkg: storage, sealed: true,
			ldflags: "-X main.VERSION=" + storageVersion}, user: nobody},
		{program: program{name: "volume", pkg: "./components/images/volume"}, user: root},
	}, nil
}

func (b *builder) addImage(ctx context.Context, c *contents, i image) error {
	data, err := b.build(ctx, i.program)
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	reference, err := images.Image{
		Name:  i.program.name,
		Arch:  b.arch,
		User:  i.user,
		Files: map[string][]byte{"/bin/" + i.program.name: data},
	}.Archive(&archive)
	if err != nil {
		return err
	}
	file := "images/" + i.program.name + ".tar"
	c.add(file, archive.Bytes())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.images = append(c.images, bundle.Image{Name: reference, File: file})
	return nil
}

func (b *builder) addNft(ctx context.Context, c *contents, l *licences) error {
	files, texts, err := b.nft(ctx)
	if err != nil {
		return err
	}
	for name, data := range files {
		c.add(name, data)
	}
	for name, text := range texts {
		l.add(text, "Debian package "+name)
	}
	return nil
}

func (b *builder) addLicences(ctx context.Context, c *contents, programs []program, debian *licences) error {
	var mu sync.Mutex
	goLicences := &licences{}
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for _, p := range programs {
		group.Go(func() error {
			var own licences
			err := b.addProgram(working, &own, p)
			mu.Lock()
			defer mu.Unlock()
			for text, what := range own.texts {
				for _, w := range what {
					goLicences.add([]byte(text), w)
				}
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	goroot, err := output(ctx, b.root, nil, "go", "env", "GOROOT")
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(goroot)), "LICENSE"))
	if err != nil {
		return err
	}
	goLicences.add(text, "the Go standard library, "+b.gover)
	versions, err := os.ReadFile(filepath.Join(b.cache.path("debian", b.arch+"-"+key(nftPackages...)[:12]), "versions"))
	if err != nil {
		return err
	}
	c.add("licenses/go.txt", goLicences.render("Licences of the Go modules in this bundle. The source of each is the module of that name and version.\n"))
	c.add("licenses/debian.txt", debian.render(fmt.Sprintf("Licences of what comes from Debian: nft and its libraries, from these packages, whose source packages Debian keeps.\n\n%s", versions)))
	return nil
}
