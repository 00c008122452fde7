package ssh

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync/atomic"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// sftpFiles reads and writes files through an SFTP server that is root: sshd's
// for root himself, our agent's for a user with sudo.
type sftpFiles struct {
	client  *Client
	session *ssh.Session
	sftp    *sftp.Client
	dead    atomic.Bool
}

var errNoAgent = errors.New("no agent is known on the machine")

// openSFTP starts the server and greets it.
func (c *Client) openSFTP(ctx context.Context) (*sftpFiles, error) {
	agent := c.agent.Load()
	if c.target.Sudo && agent == nil {
		return nil, errNoAgent
	}
	session, err := c.openSession(ctx)
	if err != nil {
		return nil, err
	}
	stdin, errIn := session.StdinPipe()
	stdout, errOut := session.StdoutPipe()
	err = errors.Join(errIn, errOut)
	if err == nil && c.target.Sudo {
		var line string
		if line, err = quote([]string{*agent, "sftp"}); err == nil {
			err = session.Start(c.rootLine(line))
		}
	} else if err == nil {
		err = session.RequestSubsystem("sftp")
	}
	if err != nil {
		session.Close()
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { session.Close() })
	defer stop()
	opened, err := sftp.NewClientPipe(stdout, stdin)
	if err != nil {
		session.Close()
		return nil, err
	}
	f := &sftpFiles{client: c, session: session, sftp: opened}
	c.spawn(func() {
		opened.Wait()
		f.dead.Store(true)
		session.Close()
	})
	return f, nil
}

func (f *sftpFiles) alive() bool { return !f.dead.Load() }

// in runs an operation that knows no context. Where ctx ends first the
// operation stops at its next step, and nobody waits for it.
func (f *sftpFiles) in(ctx context.Context, operation func() error) error {
	done := make(chan error, 1)
	f.client.spawn(func() { done <- operation() })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (f *sftpFiles) read(ctx context.Context, name string) ([]byte, error) {
	var data []byte
	err := f.in(ctx, func() error {
		file, err := f.sftp.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		// A buffer of a packet's size: io.ReadAll begins with 512 bytes, and
		// each read is a round trip.
		content, err := io.ReadAll(io.LimitReader(bufio.NewReaderSize(file, 32<<10), maxFile+1))
		if err == nil && len(content) > maxFile {
			err = fmt.Errorf("it is larger than %d MiB", maxFile>>20)
		}
		data = content
		return err
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

func (f *sftpFiles) write(ctx context.Context, name string, mode fs.FileMode, data []byte) error {
	return f.in(ctx, func() error {
		err := f.replace(ctx, name, mode, data)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := f.makeDir(path.Dir(name)); err != nil {
			return err
		}
		return f.replace(ctx, name, mode, data)
	})
}

// replace writes beside the file and renames. SFTP as OpenSSH speaks it gives a
// new file the server's umask: a file that others may not read is made inside a
// folder that they may not enter, since its mode can be set only afterwards.
func (f *sftpFiles) replace(ctx context.Context, name string, mode fs.FileMode, data []byte) (err error) {
	beside := path.Join(path.Dir(name), ".provision."+rand.Text()[:12])
	if mode&0o044 == 0 {
		if err := f.sftp.Mkdir(beside); err != nil {
			return err
		}
		defer f.sftp.RemoveDirectory(beside)
		if err := f.sftp.Chmod(beside, 0o700); err != nil {
			return err
		}
		beside = path.Join(beside, "new")
	}
	file, err := f.sftp.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.sftp.Remove(beside)
		}
	}()
	_, err = io.Copy(file, bytes.NewReader(data))
	if err == nil {
		err = file.Chmod(mode)
	}
	if err == nil {
		err = f.sync(ctx, file, beside)
	}
	if err = errors.Join(err, file.Close(), ctx.Err()); err != nil {
		return err
	}
	return f.sftp.PosixRename(beside, name)
}

// sync puts the content on the disk. Our agent's server cannot be asked to.
func (f *sftpFiles) sync(ctx context.Context, file *sftp.File, name string) error {
	if _, ok := f.sftp.HasExtension("fsync@openssh.com"); ok {
		return file.Sync()
	}
	_, err := f.client.Run(ctx, []string{"sync", "--", name}, nil)
	return err
}

// makeDir makes a folder and its parents, 0755 whatever the server's umask.
func (f *sftpFiles) makeDir(dir string) error {
	if _, err := f.sftp.Stat(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := f.makeDir(path.Dir(dir)); err != nil {
		return err
	}
	if err := f.sftp.Mkdir(dir); err != nil {
		// Somebody else may have made it in the meantime.
		if info, again := f.sftp.Stat(dir); again == nil && info.IsDir() {
			return nil
		}
		return err
	}
	return f.sftp.Chmod(dir, 0o755)
}
