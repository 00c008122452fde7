package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// claim is this process's proof that it runs: a file with a name of its own,
// locked for as long as the process lives, however it ends. A later run on this
// computer finds in a lease the name of its owner's file, and by the lock
// whether that owner is gone. Process numbers would not do: they come back, and
// another container on the same host counts its own.
type claim struct {
	id   string
	file *os.File // nil where there is no place for one
}

// claimForm is how owner ends. A lease comes from a machine: nothing else of it
// becomes a file's name here.
var claimForm = regexp.MustCompile(`, run ([a-z2-7]{10})$`)

// claimsKept is how long a dead run's file is kept; its lease ran out long before.
const claimsKept = 24 * time.Hour

func claims() (string, error) {
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "provision", "runs"), err
}

// newClaim makes one. Without it a lease that this process leaves has to run out.
func newClaim() claim {
	dir, err := claims()
	if err != nil || os.MkdirAll(dir, 0o700) != nil {
		return claim{}
	}
	sweepClaims(dir)
	id := strings.ToLower(rand.Text()[:10])
	file, err := os.OpenFile(filepath.Join(dir, id), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return claim{}
	}
	if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		os.Remove(file.Name())
		file.Close()
		return claim{}
	}
	return claim{id: id, file: file}
}

func (c claim) close() {
	if c.file != nil {
		os.Remove(c.file.Name())
		c.file.Close()
	}
}

// owner says who runs this, for whoever finds the lock taken.
func (c claim) owner() string {
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "somewhere"
	}
	text := fmt.Sprintf("%s@%s, process %d", name, host, os.Getpid())
	if c.file != nil {
		text += ", run " + c.id
	}
	return text
}

// alive says whether a lease's owner still runs, where it ran here and as us.
func alive(owner string) (alive, known bool) {
	match := claimForm.FindStringSubmatch(owner)
	dir, err := claims()
	if match == nil || err != nil {
		return false, false
	}
	return locked(filepath.Join(dir, match[1]))
}

func locked(name string) (locked, known bool) {
	file, err := os.Open(name)
	if err != nil {
		return false, false
	}
	defer file.Close()
	switch err := syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); {
	case err == nil:
		return false, true
	case errors.Is(err, syscall.EWOULDBLOCK):
		return true, true
	}
	return false, false
}

// sweepClaims deletes what runs that were killed have left.
func sweepClaims(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		name := filepath.Join(dir, entry.Name())
		info, err := entry.Info()
		if err != nil || time.Since(info.ModTime()) < claimsKept {
			continue
		}
		if locked, known := locked(name); known && !locked {
			os.Remove(name)
		}
	}
}
