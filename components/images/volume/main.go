// Command volume makes and removes the folder of one volume on a machine. It
// runs in the helper pods of local-path-provisioner, in place of upstream's
// shell scripts, with the arguments that those get.
//
// It touches nothing but what is below the folder of all volumes, and follows no
// link out of it. It exits 0 where the folder is there, or gone, 1 where it is not,
// 64 on misuse.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// volumes is the folder of all volumes, of which the pod has mounted the one that
// this volume's is in. templates/files/local-path.yaml names it too.
const volumes = "/var/lib/provision/volumes"

// errUsage is misuse.
var errUsage = errors.New("usage")

func main() {
	syscall.Umask(0)
	err := run(volumes, os.Args[1:])
	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "volume: %v\n", err)
		os.Exit(64)
	default:
		fmt.Fprintf(os.Stderr, "volume: %v\n", err)
		os.Exit(1)
	}
}

func run(top string, args []string) error {
	flags := flag.NewFlagSet("volume", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	path := flags.String("p", "", "the volume's folder")
	action := flags.String("a", "", "create or delete")
	mode := flags.String("m", "Filesystem", "the volume's mode")
	flags.Int64("s", 0, "its size in bytes, which nobody enforces")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if *mode != "Filesystem" {
		return fmt.Errorf("%s: a volume here is a folder, and not of mode %s", *path, *mode)
	}
	name, err := filepath.Rel(top, *path)
	if err != nil || !filepath.IsLocal(name) || name == "." || filepath.Clean(*path) != *path {
		return fmt.Errorf("%q is no folder below %s", *path, top)
	}
	root, err := os.OpenRoot(top)
	if err != nil {
		return err
	}
	defer root.Close()
	switch *action {
	case "create":
		return create(root, name)
	case "delete":
		return root.RemoveAll(name)
	}
	return fmt.Errorf("%w: -a is %q, and not create or delete", errUsage, *action)
}

// create makes the folder, which any user of a pod may write to; the folder of all
// volumes keeps the machine's own users out. One that is there keeps what it holds.
func create(root *os.Root, name string) error {
	if filepath.Dir(name) == "." { // else another folder than that of all is mounted
		if err := root.Chmod(".", 0o700); err != nil {
			return err
		}
	}
	err := root.Mkdir(name, 0o777)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := root.Lstat(name)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is there, and no folder", name)
	}
	return err
}
