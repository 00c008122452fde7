package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"provision/provisioner/ssh/sshtest"
)

// ways are the two ways to a machine's files; they must not differ.
func ways(t *testing.T, f func(t *testing.T, client *Client)) {
	t.Run("sftp", func(t *testing.T) {
		client, _ := dial(t, sshtest.Options{})
		f(t, client)
		if client.sftp == nil {
			t.Error("SFTP was not used")
		}
	})
	t.Run("sh", func(t *testing.T) {
		client, _ := dial(t, sshtest.Options{NoSFTP: true})
		f(t, client)
	})
	t.Run("sudo sh", func(t *testing.T) {
		client, _ := dialSudo(t, sudoWorks)
		f(t, client)
	})
}

func TestFiles(t *testing.T) {
	ways(t, func(t *testing.T, client *Client) {
		dir := t.TempDir()
		odd := filepath.Join(dir, "new folder", "deep", "-it's $(odd)\n")
		for _, c := range []struct {
			name string
			mode fs.FileMode
			data []byte
		}{
			{"plain", 0o644, []byte("hello")},
			{"plain", 0o600, []byte("now secret")},
			{"plain", 0o755, nil},
			{"large", 0o640, bytes.Repeat([]byte("0123456789abcdef"), 200_000)},
			{odd, 0o600, []byte("\x00\xff")},
		} {
			name := c.name
			if !filepath.IsAbs(name) {
				name = filepath.Join(dir, name)
			}
			if err := client.WriteFile(soon(t), name, c.mode, c.data); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(name)
			if err != nil || info.Mode() != c.mode {
				t.Errorf("%q has mode %v, want %v (%v)", c.name, info.Mode(), c.mode, err)
			}
			got, err := client.ReadFile(soon(t), name)
			if err != nil || !bytes.Equal(got, c.data) {
				t.Errorf("%q: read %d bytes, want %d (%v)", c.name, len(got), len(c.data), err)
			}
		}
		for _, made := range []string{filepath.Join(dir, "new folder"), filepath.Join(dir, "new folder", "deep")} {
			if info, err := os.Stat(made); err != nil || info.Mode().Perm() != 0o755 {
				t.Errorf("%s has mode %v, want 0755 (%v)", made, info.Mode(), err)
			}
		}
		left, _ := filepath.Glob(filepath.Join(dir, ".provision*"))
		if len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
}

func TestFilesThatAreNotThere(t *testing.T) {
	ways(t, func(t *testing.T, client *Client) {
		_, err := client.ReadFile(soon(t), filepath.Join(t.TempDir(), "none"))
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, want fs.ErrNotExist", err)
		}
		if _, err := client.ReadFile(soon(t), t.TempDir()); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a folder: got %v", err)
		}
		for _, name := range []string{"", "relative"} {
			if err := client.WriteFile(soon(t), name, 0o644, nil); err == nil {
				t.Errorf("%q was written", name)
			}
		}
	})
}

func TestFileInPlaceOfAFolder(t *testing.T) {
	ways(t, func(t *testing.T, client *Client) {
		dir := t.TempDir()
		blocked := filepath.Join(dir, "file")
		if err := os.WriteFile(blocked, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := client.WriteFile(soon(t), filepath.Join(blocked, "below"), 0o644, nil); err == nil {
			t.Error("a file was made below a file")
		}
		if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := client.WriteFile(soon(t), filepath.Join(dir, "folder"), 0o644, nil); err == nil {
			t.Error("a folder was replaced by a file")
		}
		left, _ := filepath.Glob(filepath.Join(dir, ".provision*"))
		if len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
}

// A symbolic link is replaced, not followed: what it points to may be another's.
func TestLinkIsReplaced(t *testing.T) {
	ways(t, func(t *testing.T, client *Client) {
		dir := t.TempDir()
		target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
		if err := os.WriteFile(target, []byte("untouched"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		if err := client.WriteFile(soon(t), link, 0o644, []byte("new")); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(target); string(got) != "untouched" {
			t.Errorf("the link's target holds %q", got)
		}
	})
}

// Whoever reads while a file is replaced sees the old or the new.
func TestReplacingIsAtomic(t *testing.T) {
	ways(t, func(t *testing.T, client *Client) {
		name := filepath.Join(t.TempDir(), "file")
		size := 100_000
		versions := [][]byte{bytes.Repeat([]byte("a"), size), bytes.Repeat([]byte("b"), size)}
		if err := client.WriteFile(soon(t), name, 0o644, versions[0]); err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		var reader sync.WaitGroup
		reader.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				got, err := os.ReadFile(name)
				if err != nil || !bytes.Equal(got, versions[0]) && !bytes.Equal(got, versions[1]) {
					t.Errorf("a reader saw %d bytes, %v", len(got), err)
					return
				}
			}
		})
		for i := range 10 {
			if err := client.WriteFile(soon(t), name, 0o644, versions[i%2]); err != nil {
				t.Error(err)
			}
		}
		close(stop)
		reader.Wait()
	})
}

func TestFileThatIsTooLarge(t *testing.T) {
	ways(t, func(t *testing.T, client *Client) {
		name := filepath.Join(t.TempDir(), "large")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		f.Truncate(maxFile + 1)
		f.Close()
		_, err = client.ReadFile(soon(t), name)
		wantError(t, err, "16 MiB")
	})
}

// Once the agent is there, sudo machines have SFTP; until then sh does it.
func TestFilesThroughTheAgent(t *testing.T) {
	client, server := dialSudo(t, sudoWorks)
	dir := t.TempDir()
	agent := filepath.Join(dir, "agent")
	client.UseAgent(agent)
	name := filepath.Join(dir, "file")
	if err := client.WriteFile(soon(t), name, 0o600, []byte("before")); err != nil {
		t.Fatal(err)
	}
	// The test's own binary plays the agent.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nPLAY_AGENT=1 exec %s \"$@\"\n", self)
	if err := client.WriteFile(soon(t), agent, 0o755, []byte(script)); err != nil {
		t.Fatal(err)
	}
	if client.sftp != nil {
		t.Fatal("SFTP before there was an agent")
	}
	if err := client.WriteFile(soon(t), name, 0o600, []byte("after")); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != "after" {
		t.Errorf("got %q, %v", got, err)
	}
	if client.sftp == nil {
		t.Errorf("the agent was not used: %q", server.Stats().Lines)
	}
}

func TestCancelledWrite(t *testing.T) {
	ways(t, func(t *testing.T, client *Client) {
		ctx, cancel := context.WithCancel(soon(t))
		if _, err := client.ReadFile(ctx, "/etc/hostname"); err != nil {
			t.Skip(err)
		}
		cancel()
		if err := client.WriteFile(ctx, filepath.Join(t.TempDir(), "file"), 0o644, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}
