package main

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// nftPackages are the Debian packages that nft and its libraries come from.
var nftPackages = []string{
	"nftables", "libnftables1", "libnftnl11", "libmnl0", "libjansson4", "libedit2",
	"libgmp10", "libxtables12", "libbsd0", "libmd0", "libtinfo6", "libc6",
}

// Debian's names for Go's architectures: of folders, and of packages (which
// are Go's own).
var triplets = map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}

// nft returns nft, the libraries that it needs and their loader, by name in
// the bundle, and the licence texts of the packages by package.
func (b *builder) nft(ctx context.Context) (files map[string][]byte, licences map[string][]byte, err error) {
	root, err := b.unpacked(ctx, nftPackages)
	if err != nil {
		return nil, nil, err
	}
	files = map[string][]byte{}
	if files["nft/nft.real"], err = os.ReadFile(filepath.Join(root, "usr/sbin/nft")); err != nil {
		return nil, nil, err
	}
	if err := b.addLibraries(root, files); err != nil {
		return nil, nil, fmt.Errorf("nft: %w", err)
	}
	licences = map[string][]byte{}
	for _, name := range nftPackages {
		text, err := os.ReadFile(filepath.Join(root, "usr/share/doc", name, "copyright"))
		if err != nil {
			return nil, nil, err
		}
		licences[name] = text
	}
	return files, licences, nil
}

// addLibraries adds what the programs in files need, and what that needs, and
// the loader as nft/lib/ld.so.
func (b *builder) addLibraries(root string, files map[string][]byte) error {
	todo := []string{"nft/nft.real"}
	for len(todo) > 0 {
		binary, err := elf.NewFile(bytes.NewReader(files[todo[0]]))
		if err != nil {
			return fmt.Errorf("%s: %w", todo[0], err)
		}
		needed, err := binary.ImportedLibraries()
		if err != nil {
			return fmt.Errorf("%s: %w", todo[0], err)
		}
		todo = todo[1:]
		for _, soname := range needed {
			name := "nft/lib/" + soname
			if strings.HasPrefix(soname, "ld-linux") {
				name = "nft/lib/ld.so"
			}
			if files[name] != nil {
				continue
			}
			if files[name], err = b.library(root, soname); err != nil {
				return err
			}
			todo = append(todo, name)
		}
	}
	if files["nft/lib/ld.so"] == nil {
		return errors.New("no library names its loader")
	}
	return nil
}

func (b *builder) library(root, soname string) ([]byte, error) {
	triplet := triplets[b.arch]
	for _, dir := range []string{"lib/" + triplet, "usr/lib/" + triplet, "lib", "lib64"} {
		if data, err := os.ReadFile(filepath.Join(root, dir, soname)); err == nil {
			return data, nil
		}
	}
	return nil, fmt.Errorf("%s is in none of the packages %s", soname, strings.Join(nftPackages, " "))
}

// unpacked returns a folder with the packages' files. They are downloaded once;
// whoever wants newer ones removes the cache.
func (b *builder) unpacked(ctx context.Context, packages []string) (string, error) {
	dir := b.cache.path("debian", b.arch+"-"+key(packages...)[:12])
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return "", errors.New("nft is taken from Debian's packages, and apt-get is not here: build the bundle on Debian or Ubuntu (a container of it does), it then runs anywhere")
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), ".tmp-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	b.say("downloading %d Debian packages", len(packages))
	if err := b.download(ctx, work, packages); err != nil {
		return "", err
	}
	debs, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil {
		return "", err
	}
	slices.Sort(debs)
	root := filepath.Join(work, "root")
	if err := os.WriteFile(filepath.Join(work, "versions"), []byte(strings.Join(bases(debs), "\n")+"\n"), 0o644); err != nil {
		return "", err
	}
	for _, deb := range debs {
		if _, err := output(ctx, work, nil, "dpkg-deb", "-x", deb, root); err != nil {
			return "", err
		}
	}
	if err := os.Rename(filepath.Join(work, "versions"), filepath.Join(root, "versions")); err != nil {
		return "", err
	}
	return dir, os.Rename(root, dir)
}

func bases(names []string) []string {
	var out []string
	for _, name := range names {
		out = append(out, filepath.Base(name))
	}
	return out
}
