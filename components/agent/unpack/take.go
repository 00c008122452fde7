package unpack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"provision/components/agent/durable"
	"provision/components/bundle"
	"provision/components/handover"
)

// maxSource bounds what "agent unpack --from" reads, in bytes: a manifest and sums.
const maxSource = 8 << 20

// sourceError is the fault of where the bundle comes from, not of this machine.
type sourceError struct{ error }

func (e sourceError) Unwrap() error { return e.error }

// blamed is content whose errors are its source's.
type blamed struct{ io.Reader }

func (b blamed) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = sourceError{err}
	}
	return n, err
}

// Take is Unpack, but that another machine gives the bundle. What goes wrong there
// or on the way is in the report and no error; what came whole stays for the next
// call, and the report names it.
func Take(ctx context.Context, root, id string, source handover.Source) (handover.Report, error) {
	if err := source.Check(); err != nil {
		return handover.Report{}, err
	}
	manifest, err := bundle.ParseManifest(source.Manifest)
	if err != nil {
		return handover.Report{}, err
	}
	if got := bundle.ID(manifest.Kubernetes, source.Manifest); got != id {
		return handover.Report{}, fmt.Errorf("the manifest is of bundle %s", got)
	}
	stream, err := handover.Take(ctx, source)
	if err != nil {
		return handover.Report{Problem: err.Error()}, ctx.Err()
	}
	defer stream.Close()
	counted := &counter{Reader: stream}
	_, err = unpack(ctx, counted, root, id, source.Manifest)
	report := handover.Report{Unpacked: err == nil, Received: counted.bytes}
	if at := (sourceError{}); errors.As(err, &at) && ctx.Err() == nil {
		report.Problem = at.Error()
		report.Have, err = whole(ctx, root, id, manifest, source.Have)
	}
	return report, err
}

// take is the command's part of it: JSON in, JSON out.
func take(ctx context.Context, in io.Reader, out io.Writer, root, id string) error {
	text, err := durable.ReadAll(in, maxSource)
	if err != nil {
		return fmt.Errorf("input: %w", err)
	}
	var source handover.Source
	if err := json.Unmarshal(text, &source); err != nil {
		return fmt.Errorf("input: %w", err)
	}
	report, err := Take(ctx, root, id, source)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(report)
}

// whole returns the sums of those files that an unfinished folder holds whole.
func whole(ctx context.Context, root, id string, manifest bundle.Manifest, but []string) ([]string, error) {
	var sums []string
	err := locked(ctx, root, id, func(u *unpacking) error {
		for _, file := range manifest.Files {
			name := path.Join(tmpPrefix+id, file.Name)
			if slices.Contains(but, file.SHA256) {
				continue
			}
			if u.dir.Chmod(name, fs.FileMode(file.Mode)) == nil && same(u.dir, name, file) {
				sums = append(sums, file.SHA256)
			}
		}
		return nil
	})
	return sums, err
}

// counter counts what is read through it.
type counter struct {
	io.Reader
	bytes int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.bytes += int64(n)
	return n, err
}
