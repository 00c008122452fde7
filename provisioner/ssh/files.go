package ssh

import (
	"context"
	"fmt"
	"io/fs"
	"path"

	"provision/components"
)

var _ components.Machine = (*Client)(nil)

// maxFile bounds what ReadFile returns.
const maxFile = 16 << 20

// files is one of two ways to a machine's files, as root.
type files interface {
	read(ctx context.Context, name string) ([]byte, error)
	write(ctx context.Context, name string, mode fs.FileMode, data []byte) error
}

// ReadFile returns a file of at most 16 MiB; the error is fs.ErrNotExist where
// there is none.
func (c *Client) ReadFile(ctx context.Context, name string) ([]byte, error) {
	if !path.IsAbs(name) {
		return nil, fmt.Errorf("read %s: the path is not absolute", name)
	}
	data, err := c.files(ctx).read(ctx, path.Clean(name))
	if err != nil {
		return nil, plainly(fmt.Errorf("read %s: %w", name, c.lost(err)))
	}
	return data, nil
}

// WriteFile replaces a file atomically: what was there stays until all of the
// new one is on the disk. It is root's, and missing parent folders are made
// with mode 0755. A ctx that ends leaves the old file or the new one.
func (c *Client) WriteFile(ctx context.Context, name string, mode fs.FileMode, data []byte) error {
	if !path.IsAbs(name) {
		return fmt.Errorf("write %s: the path is not absolute", name)
	}
	if err := c.files(ctx).write(ctx, path.Clean(name), mode.Perm(), data); err != nil {
		return plainly(fmt.Errorf("write %s: %w", name, c.lost(err)))
	}
	return nil
}

// files returns SFTP, opened once for the connection, or sh where the machine
// has no SFTP server, or where root's would be our agent and it is not there.
func (c *Client) files(ctx context.Context) files {
	c.filesMu.Lock()
	defer c.filesMu.Unlock()
	if c.sftp != nil && c.sftp.alive() {
		return c.sftp
	}
	if opened, err := c.openSFTP(ctx); err == nil {
		c.sftp = opened
		return opened
	}
	return shellFiles{c}
}
