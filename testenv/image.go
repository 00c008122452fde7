package testenv

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

var (
	//go:embed image/packages
	imagePackages string
	//go:embed image/docker
	dockerPackages string
	//go:embed image/kernel
	kernelPackages string
	//go:embed image/setup.sh
	imageSetup string
	//go:embed image/kernel.sh
	kernelSetup string
)

// The release that machines run, and what its packages are checked against.
const (
	suite   = "bookworm"
	keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
)

const buildingSuffix = ".building"

// kernelFlavor is what machines of the driver qemu boot.
const kernelFlavor = "kernel"

// Flavors are the kinds of machines that there are images of: what each has more
// than a bare machine, in packages and in what is done to its root.
var flavors = map[string]struct{ packages, setup string }{
	"":           {},
	"docker":     {packages: dockerPackages},
	kernelFlavor: {packages: kernelPackages, setup: kernelSetup},
}

// excluded is left out of every package: nobody reads manuals on a test machine,
// and each byte is copied once for each machine.
var excluded = []string{
	"/usr/share/man/*", "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/i18n/*",
	"/usr/share/zoneinfo/*", "/usr/share/bash-completion/*", "/usr/share/lintian/*",
}

// Cache is the folder of built images: PROVISION_LAB_CACHE, or
// /var/cache/provision-lab.
func Cache() string {
	if dir := os.Getenv("PROVISION_LAB_CACHE"); dir != "" {
		return dir
	}
	return "/var/cache/provision-lab"
}

// Image returns the folder with a flavor's root image ("": the bare one), and builds it
// first where its recipe has not been built yet. That takes about a minute and needs a
// Debian mirror.
func Image(ctx context.Context, flavor string, log io.Writer) (string, error) {
	if err := checkFlavor(flavor); err != nil {
		return "", err
	}
	image := imagePath(Cache(), flavor)
	if isDir(image) {
		now := time.Now()
		return image, os.Chtimes(image, now, now) // for pruneImages
	}
	unlock, err := lock(filepath.Join(Cache(), "lock"), 15*time.Minute)
	if err != nil {
		return "", fmt.Errorf("image: %w", err)
	}
	defer unlock()
	if isDir(image) { // another process built it while this one waited
		return image, nil
	}
	say(log, "building the root image (once, about a minute)")
	if err := buildImage(ctx, image, flavor); err != nil {
		return "", fmt.Errorf("image: %w", err)
	}
	return image, nil
}

func checkFlavor(flavor string) error {
	if _, ok := flavors[flavor]; !ok {
		return fmt.Errorf("there is no flavor %q; there are docker and kernel", flavor)
	}
	return nil
}

// imagePath names the image by all that it is made from.
func imagePath(cache, flavor string) string {
	f := flavors[flavor]
	recipe := slices.Concat(excluded, []string{suite, runtime.GOARCH, imagePackages + f.packages, imageSetup + f.setup})
	sum := sha256.Sum256([]byte(strings.Join(recipe, "\x00")))
	return filepath.Join(cache, hex.EncodeToString(sum[:])[:16])
}

// pruneImages removes what killed builds left, and images that nobody used for a week: an
// older recipe's, most likely.
func pruneImages() error {
	unlock, err := lock(filepath.Join(Cache(), "lock"), 0)
	if err != nil {
		return nil // somebody builds one
	}
	defer unlock()
	entries, err := os.ReadDir(Cache())
	if err != nil {
		return err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !entry.IsDir() {
			continue
		}
		if strings.HasSuffix(entry.Name(), buildingSuffix) || time.Since(info.ModTime()) > 7*24*time.Hour {
			if err := os.RemoveAll(filepath.Join(Cache(), entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func buildImage(ctx context.Context, image, flavor string) error {
	work := image + buildingSuffix
	if err := os.RemoveAll(work); err != nil { // a killed build's
		return err
	}
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(work)
	setup := filepath.Join(work, "setup.sh")
	if err := os.WriteFile(setup, []byte(imageSetup), 0o700); err != nil {
		return err
	}
	more := filepath.Join(work, "more.sh")
	if err := os.WriteFile(more, []byte(flavors[flavor].setup), 0o700); err != nil {
		return err
	}
	root := filepath.Join(work, "root")
	argv := []string{"mmdebstrap", "--quiet", "--mode=root", "--variant=minbase",
		"--include=" + strings.Join(strings.Fields(imagePackages+flavors[flavor].packages), ","),
		`--aptopt=Acquire::Retries "5";`,
		"--customize-hook=sh '" + setup + `' "$1"`, "--customize-hook=sh '" + more + `' "$1"`}
	for _, pattern := range excluded {
		argv = append(argv, "--dpkgopt=path-exclude="+pattern)
	}
	for _, option := range aptOptions(ctx) {
		argv = append(argv, "--aptopt="+option)
	}
	argv = append(argv, suite, root)
	argv = append(argv, aptSources(ctx)...)
	if err := run(ctx, argv...); err != nil {
		return err
	}
	return os.Rename(root, image)
}

// aptOptions returns the host's settings that decide whether a mirror can be
// reached: its proxies, and how patient it is with old mirrors.
func aptOptions(ctx context.Context) []string {
	out, err := exec.CommandContext(ctx, "apt-config", "dump").Output()
	if err != nil {
		return nil
	}
	return reachability(string(out))
}

func reachability(dump string) []string {
	var options []string
	for line := range strings.Lines(dump) {
		line = strings.TrimSpace(line)
		name, value, _ := strings.Cut(line, " ")
		for _, part := range []string{"Proxy", "Check-Valid-Until", "Check-Date", "Verify-", "Retries"} {
			if strings.HasPrefix(name, "Acquire::") && strings.Contains(name, part) && value != `"";` {
				options = append(options, line)
			}
		}
	}
	return options
}

// aptSources returns the host's own sources of the release; none where the host
// has none, for mmdebstrap then takes its own default.
func aptSources(ctx context.Context) []string {
	signed := ""
	if _, err := os.Stat(keyring); err == nil {
		signed = "[signed-by=" + keyring + "] "
	}
	// An error is a host without apt, which has no sources.
	listed, _ := exec.CommandContext(ctx, "apt-get", "indextargets",
		"--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages").Output()
	return sources(string(listed), signed)
}

func sources(listed, signed string) []string {
	var found []string
	for line := range strings.Lines(listed) {
		fields := strings.Fields(line)
		if len(fields) == 3 && strings.Contains(fields[0], "debian") && fields[2] == "main" &&
			(fields[1] == suite || strings.HasPrefix(fields[1], suite+"-")) {
			found = append(found, "deb "+signed+strings.Join(fields, " "))
		}
	}
	return found
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

func say(log io.Writer, format string, args ...any) {
	if log != nil {
		fmt.Fprintf(log, format+"\n", args...)
	}
}

// run runs a command of the host; the error ends with the last lines it said.
func run(ctx context.Context, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w: testenv/prepare.sh installs what a lab needs", err)
	}
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("%s: %w: %s", argv[0], err, strings.Join(lines[max(0, len(lines)-15):], "\n"))
	}
	return nil
}
