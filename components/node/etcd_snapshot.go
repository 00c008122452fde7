package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
)

// newSnapshotCommand writes what this machine's member holds to standard output, as
// etcd's own tools write a snapshot: its last 32 bytes are the SHA-256 of the rest.
func newSnapshotCommand() *cobra.Command {
	var pki, endpoint, into, of string
	cmd := &cobra.Command{
		Use:   "etcd-snapshot",
		Short: "Write a snapshot of this machine's member to standard output, or into a folder before an upgrade",
		Args:  cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := dialMembers(pki, endpoint)
			if err != nil {
				return err
			}
			defer m.Close()
			if into == "" {
				image, err := m.image(cmd.Context())
				if err != nil {
					return err
				}
				defer image.Close()
				_, err = image.WriteTo(os.Stdout)
				return err
			}
			kept := schedule{dir: into, prefix: beforeUpgrade + of + "-", most: mostBeforeUpgrades}
			name, err := kept.keep(time.Now(), func() (image, error) { return m.image(cmd.Context()) })
			if err == nil {
				_, err = fmt.Fprintln(os.Stdout, filepath.Base(name))
			}
			return err
		},
	}
	cmd.Flags().StringVar(&pki, "pki", "/etc/provision/pki", "folder of the API server's identity towards etcd")
	cmd.Flags().StringVar(&endpoint, "endpoint", "https://127.0.0.1:2379", "this machine's member")
	cmd.Flags().StringVar(&of, "of", "", "the version of Kubernetes that wrote what is kept, for its name")
	cmd.Flags().StringVar(&into, "into", "", "folder to keep it in, as one of before an upgrade")
	return cmd
}

// mostBeforeUpgrades is how many snapshots of before upgrades are kept.
const mostBeforeUpgrades = 3

// remote is the image of a member that runs elsewhere: its sum is in it.
type remote struct {
	io.ReadCloser
	size int64
}

func (r remote) Size() int64 { return r.size }

func (r remote) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, r.ReadCloser) }

func (m members) image(ctx context.Context) (image, error) {
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	status, err := m.Status(asking, m.endpoint)
	if err != nil {
		return nil, err
	}
	stream, err := m.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return remote{stream, status.DbSize}, nil
}

// newRestoreCommand is "etcd-recover restore".
func newRestoreCommand() *cobra.Command {
	var dir, name, peer, token string
	cmd := &cobra.Command{
		Use:   "restore --name NAME --peer URL --token TEXT",
		Short: "Make the data of a new cluster of one member from a snapshot on standard input",
		Args:  cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name == "" || peer == "" || token == "" {
				return errors.New("a name, a peer URL and a token are needed")
			}
			log, err := quiet()
			if err != nil {
				return err
			}
			return store{dir, log}.restore(cmd.InOrStdin(), snapshot.RestoreConfig{
				Name: name, PeerURLs: []string{peer}, InitialCluster: name + "=" + peer, InitialClusterToken: token,
			})
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "/var/lib/provision/etcd", "etcd's data folder")
	cmd.Flags().StringVar(&name, "name", "", "the member's name")
	cmd.Flags().StringVar(&peer, "peer", "", "its peer URL")
	cmd.Flags().StringVar(&token, "token", "", "what no cluster was begun with before: the new one's id is made of it")
	return cmd
}

// restore makes the data beside their place and moves them there in one rename.
func (s store) restore(image io.Reader, config snapshot.RestoreConfig) error {
	if _, err := os.Stat(s.wal()); err == nil {
		return fmt.Errorf("%s holds data already", s.dir)
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if err := s.sweep(); err != nil {
		return err
	}
	work := filepath.Join(s.dir, workFolder)
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	config.SnapshotPath, config.OutputDataDir = filepath.Join(work, "snapshot.db"), filepath.Join(work, "new")
	if err := save(image, config.SnapshotPath); err != nil {
		return err
	}
	config.RevisionBump, config.MarkCompacted = revisionBump, true
	if err := snapshot.NewV3(s.log).Restore(config); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := s.sync(); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(config.OutputDataDir, "member"), filepath.Join(s.dir, "member")); err != nil {
		return err
	}
	return errors.Join(s.sync(), os.RemoveAll(work))
}

func save(from io.Reader, to string) error {
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, from)
	return errors.Join(err, out.Close())
}
