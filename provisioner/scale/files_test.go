package scale

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"time"

	"github.com/pkg/sftp"

	"provision/components"
)

// files serves a machine's memory as SFTP does.
func (c *crowd) files(name string, stream io.ReadWriteCloser) {
	m := &memory{crowd: c, name: name, new: map[string]*pending{}}
	server := sftp.NewRequestServer(stream, sftp.Handlers{FileGet: m, FilePut: m, FileCmd: m, FileList: m})
	server.Serve()
	server.Close()
}

// memory is one session's view of a machine's files: folders are wherever they
// are asked for, and a new file is the machine's once it was given its name.
type memory struct {
	crowd *crowd
	name  string

	mu  sync.Mutex
	new map[string]*pending
}

type pending struct {
	mu      sync.Mutex
	mode    fs.FileMode
	content []byte
}

func (p *pending) WriteAt(b []byte, at int64) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if need := int(at) + len(b); need > len(p.content) {
		p.content = append(p.content, make([]byte, need-len(p.content))...)
	}
	return copy(p.content[at:], b), nil
}

func (m *memory) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	if path.Dir(r.Filepath) == components.State+"/lock" {
		if seen := m.crowd.locks[m.name].seen(); seen > 0 {
			return bytes.NewReader(fmt.Append(nil, seen)), nil
		}
		return nil, fs.ErrNotExist
	}
	content, err := m.crowd.site.Machines[m.name].ReadFile(context.Background(), r.Filepath)
	if real, is := m.crowd.api.identity[r.Filepath]; is && err == nil {
		content = real
	}
	return bytes.NewReader(content), missing(err)
}

func (m *memory) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.new[r.Filepath] = &pending{mode: 0o644}
	return m.new[r.Filepath], nil
}

func (m *memory) PosixRename(r *sftp.Request) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.new[r.Filepath]
	if p == nil {
		return fs.ErrNotExist
	}
	delete(m.new, r.Filepath)
	return m.crowd.site.Machines[m.name].WriteFile(context.Background(), r.Target, p.mode, p.content)
}

func (m *memory) Filecmd(r *sftp.Request) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.new[r.Filepath]; r.Method == "Setstat" && p != nil && r.AttrFlags().Permissions {
		p.mode = r.Attributes().FileMode().Perm()
	}
	return nil
}

func (m *memory) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	return folder(path.Base(r.Filepath)), nil
}

func missing(err error) error {
	if err != nil {
		return fs.ErrNotExist
	}
	return nil
}

// folder is a folder that is there.
type folder string

func (f folder) ListAt(into []os.FileInfo, at int64) (int, error) {
	if at > 0 || len(into) == 0 {
		return 0, io.EOF
	}
	into[0] = f
	return 1, io.EOF
}

func (f folder) Name() string     { return string(f) }
func (folder) Size() int64        { return 0 }
func (folder) Mode() fs.FileMode  { return fs.ModeDir | 0o755 }
func (folder) ModTime() time.Time { return time.Time{} }
func (folder) IsDir() bool        { return true }
func (folder) Sys() any           { return nil }
