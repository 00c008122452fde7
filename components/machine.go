// Package components is the contract between what may be put on a machine and
// whoever puts it there: Machine (the effects), Facts (what there is), Cluster
// (what is wanted) and Action (one change, as plain data).
//
// Each package below it (base, runtime, pki, etcd, master, worker, balancer,
// addons) turns wanted and facts into actions and does nothing else: they see
// neither HCL nor SSH. Packages node and agent are the binaries that a machine
// runs; nothing of the provisioner imports those.
package components

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"provision/components/handover"
)

// Machine is what an action may do to one machine. Everything happens as root;
// how that is had (root login, sudo) is the implementation's affair.
//
// The implementations are provisioner/ssh (real) and componentstest (memory).
type Machine interface {
	// Name is the machine's name in the cluster file.
	Name() string

	// Run runs argv (never shell text) and returns its standard output, at
	// most 16 MiB. A command that ran and failed is an *ExitError; what it
	// printed comes with it.
	Run(ctx context.Context, argv []string, stdin io.Reader) (stdout []byte, err error)

	// ReadFile returns a file of at most 16 MiB; the error is fs.ErrNotExist
	// where there is none.
	ReadFile(ctx context.Context, name string) ([]byte, error)

	// WriteFile replaces a file atomically (write beside it, sync, rename),
	// owned by root. Missing parent folders are made with mode 0755.
	WriteFile(ctx context.Context, name string, mode fs.FileMode, data []byte) error
}

// Site is what an action may reach beyond its own machine.
type Site interface {
	// Machine returns another machine of the cluster by its name in the file.
	Machine(name string) (Machine, error)

	// Bundle writes to w, as a tar stream compressed with zstd, the bundle's
	// manifest and then every file of it whose SHA-256 is not in have.
	Bundle(ctx context.Context, w io.Writer, have map[string]bool) error

	// Turn waits until it is a machine's turn to get the agent or the bundle, and says
	// from where. have are the SHA-256 of files of the bundle that the machine has.
	Turn(ctx context.Context, what handover.Parcel, machine string, have map[string]bool) (Turn, error)

	// Open opens a file on the operator's computer that the cluster file names.
	Open(name string) (io.ReadCloser, error)

	// BundleFile returns one file of the bundle by its manifest name.
	BundleFile(name string) ([]byte, error)

	// API returns a client of the cluster's API server with full rights,
	// reached through SSH. It fails where no master answers.
	API(ctx context.Context) (API, error)

	// APIOf returns a client of the API server on that master and no other.
	APIOf(ctx context.Context, master string) (API, error)
}

// Turn is where a machine gets the agent or the bundle from.
type Turn struct {
	// From is another machine, which has it and gives it to this one alone; nil: the
	// operator's computer, by BundleFile or Bundle.
	From *handover.Source
	// Done must be called once with how it ended: nil is a machine that has it now, and
	// a handover.Problem one that is to try elsewhere.
	Done func(error)
}

// API is what actions need of the cluster itself.
type API interface {
	// Ready returns nil once the API server's /readyz does.
	Ready(ctx context.Context) error

	// Apply applies one or more YAML documents server-side, as field manager
	// "provision", and forces conflicts.
	Apply(ctx context.Context, manifests []byte) error

	// ApplyAs is Apply as another field manager. Objects that name no namespace are
	// in the given one.
	ApplyAs(ctx context.Context, manager, namespace string, manifests []byte) error

	// Path returns an object's path. A type that the server does not know
	// satisfies fs.ErrNotExist.
	Path(ctx context.Context, object Object) (string, error)

	// Do sends one request: path begins with a slash, body may be nil. A
	// status outside 200-299 is an error; 404 satisfies fs.ErrNotExist.
	Do(ctx context.Context, method, path, contentType string, body []byte) ([]byte, error)
}

// ExitError is a command that ran on a machine and failed.
type ExitError struct {
	Argv   []string
	Code   int    // exit status; -1 where a signal ended it
	Signal string // its name ("KILL"), or ""
	Stderr []byte // all of it, at most 1 MiB
}

// Error shows the command and the last line it said.
func (e *ExitError) Error() string {
	how := fmt.Sprintf("exit status %d", e.Code)
	if e.Signal != "" {
		how = "signal " + e.Signal
	}
	text := strings.Join(e.Argv, " ") + ": " + how
	if line := lastLine(e.Stderr); line != "" {
		text += ": " + line
	}
	return text
}

func lastLine(text []byte) string {
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.TrimSpace(lines[len(lines)-1]))
}
