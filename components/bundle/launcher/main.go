// Command launcher is nft/nft of a bundle: it starts the program beside it
// (nft.real) with the dynamic loader and the libraries beside it, so that the
// same nft runs on every machine, whatever libraries that machine has.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

func main() {
	if err := launch(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
		os.Exit(127)
	}
}

// launch replaces this process and returns only where it could not.
func launch() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return err
	}
	lib := filepath.Join(filepath.Dir(self), "lib")
	loader := filepath.Join(lib, "ld.so")
	// The machine's own cache of libraries is left out: it may name others of
	// the same name.
	argv := []string{loader, "--inhibit-cache", "--library-path", lib, self + ".real"}
	return fmt.Errorf("%s: %w", loader, syscall.Exec(loader, append(argv, os.Args[1:]...), os.Environ()))
}
