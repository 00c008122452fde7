package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// revisionBump is far more than the lost members can have written since: what
// they told clients lies below, and is compacted, so that every watch that goes
// on from there is told to list anew.
const revisionBump = 1_000_000_000

// forcedWithin bounds the start of a member that needs nobody.
const forcedWithin = 2 * time.Minute

// Folders beside the data.
const (
	workFolder = "recovering" // of a recovery under way, or killed
	lookFolder = "looking-"   // and of a look
	// markFile is in data that a recovery made: the name of the folder that was to
	// take the old ones.
	markFile = "recovered"
)

// keptName is what the folder may be called that takes old data.
var keptName = regexp.MustCompile(`^kept-[0-9]{8}T[0-9]{6}Z$`)

// newRecoverCommand looks at and changes the data of a member that does not run.
func newRecoverCommand() *cobra.Command {
	var file, pki, token, from string
	cmd := &cobra.Command{
		Use:   "etcd-recover",
		Short: "Make a new cluster of one member from the data of a lost one",
	}
	cmd.PersistentFlags().StringVar(&file, "config-file", "/etc/provision/etcd.yaml", "the member's configuration")
	with := func(use, short string, args cobra.PositionalArgs, do func(ctx context.Context, s store, config *embed.Config, args []string) error) *cobra.Command {
		verb := &cobra.Command{
			Use: use, Short: short, Args: args, SilenceUsage: true,
			RunE: func(cmd *cobra.Command, args []string) error {
				config, err := embed.ConfigFromFile(file)
				if err != nil {
					return fmt.Errorf("%s: %w", file, err)
				}
				log, err := quiet()
				if err != nil {
					return err
				}
				if len(args) > 0 && !keptName.MatchString(args[0]) {
					return fmt.Errorf("%q: the folder for the old data is called like kept-20060102T150405Z", args[0])
				}
				return do(cmd.Context(), store{config.Dir, log}, config, args)
			},
		}
		cmd.AddCommand(verb)
		return verb
	}
	with("look", "Print what the data hold, as JSON; changes nothing", cobra.NoArgs,
		func(ctx context.Context, s store, _ *embed.Config, _ []string) error { return s.print(ctx, pki) },
	).Flags().StringVar(&pki, "pki", "/etc/provision/pki", "folder of the API server's identity towards etcd")
	with("aside FOLDER", "Move the data into that folder beside them", cobra.ExactArgs(1),
		func(_ context.Context, s store, _ *embed.Config, args []string) error { return s.aside(args[0]) })
	begin := with("begin FOLDER", "Begin a cluster of this member alone; the data as they were go into that folder", cobra.ExactArgs(1),
		func(ctx context.Context, s store, config *embed.Config, args []string) error {
			return s.begin(ctx, config, args[0], token, from)
		},
	)
	begin.Flags().StringVar(&from, "snapshot", "", "a snapshot to begin with, and not with what the member holds")
	begin.Flags().StringVar(&token, "token", "", "what no cluster was begun with before: the new one's id is made of it")
	cmd.AddCommand(newRestoreCommand())
	return cmd
}

// quiet is a log of what goes wrong, on standard error.
func quiet() (*zap.Logger, error) {
	config := zap.NewProductionConfig()
	config.Level = zap.NewAtomicLevelAt(zap.ErrorLevel)
	return config.Build()
}

// aside takes the data away from the member, in one rename.
func (s store) aside(name string) error {
	if _, err := os.Stat(s.wal()); errors.Is(err, fs.ErrNotExist) {
		return nil // done
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	folder := filepath.Join(s.dir, name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(s.dir, "member"), filepath.Join(folder, "member")); err != nil {
		return err
	}
	return s.sync()
}

// begin makes the new cluster of copies, beside the data, and then exchanges the
// two in one step. Before that nothing has happened, after it everything has.
//
// The member gets another id in a cluster with another id, so that members of
// the old one, should they ever come back, have no say in it.
func (s store) begin(ctx context.Context, config *embed.Config, name, token, from string) error {
	if token == "" || len(config.AdvertisePeerUrls) != 1 {
		return errors.New("a token, and one peer URL in the configuration, are needed")
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.sweep(); err != nil {
		return err
	}
	work := filepath.Join(s.dir, workFolder)
	image := from
	if image == "" {
		if image, err = s.whole(ctx, config, work); err != nil {
			return err
		}
	}
	own := config.AdvertisePeerUrls[0].String()
	made := filepath.Join(work, "new")
	if err := snapshot.NewV3(s.log).Restore(snapshot.RestoreConfig{
		SnapshotPath: image, SkipHashCheck: from == "", // it never left this machine
		Name: config.Name, PeerURLs: []string{own}, InitialCluster: config.Name + "=" + own, InitialClusterToken: token,
		OutputDataDir: made, RevisionBump: revisionBump, MarkCompacted: true,
	}); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := os.WriteFile(filepath.Join(made, "member", markFile), []byte(name), 0o600); err != nil {
		return err
	}
	// What took long is over: the rest is renames, each of them durable before the next.
	folder := filepath.Join(s.dir, name)
	if err := errors.Join(s.sync(), os.Rename(made, folder), s.sync()); err != nil {
		return err
	}
	present, next := filepath.Join(s.dir, "member"), filepath.Join(folder, "member")
	err = unix.Renameat2(unix.AT_FDCWD, present, unix.AT_FDCWD, next, unix.RENAME_EXCHANGE)
	if from != "" && errors.Is(err, fs.ErrNotExist) {
		err = os.Rename(next, present) // its data were set aside already
	}
	if err != nil {
		return fmt.Errorf("exchange %s and %s: %w", present, next, err)
	}
	return errors.Join(s.sync(), os.RemoveAll(work))
}

// whole writes a snapshot of all that the member holds, what it does not know to be
// committed included.
func (s store) whole(ctx context.Context, config *embed.Config, work string) (string, error) {
	copied, err := s.copyTo(filepath.Join(work, "old"))
	if err != nil {
		return "", fmt.Errorf("copy %s: %w", s.dir, err)
	}
	if err := copied.commit(); err != nil {
		return "", fmt.Errorf("the log of %s: %w", s.dir, err)
	}
	image := filepath.Join(work, "snapshot.db")
	if err := copied.export(ctx, *config, image); err != nil {
		return "", fmt.Errorf("a member without the others: %w", err)
	}
	return image, nil
}

// sweep removes what a killed run left: a folder that was to take old data and
// has the new ones still.
func (s store) sweep() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		mark, err := os.ReadFile(filepath.Join(s.dir, name, "member", markFile))
		unused := err == nil && keptName.MatchString(name) && string(mark) == name
		looked, _ := filepath.Match(lookFolder+"*", name)
		if unused || looked || name == workFolder {
			if err := os.RemoveAll(filepath.Join(s.dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// sync makes everything on the data's file system durable.
func (s store) sync() error {
	dir, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	return unix.Syncfs(int(dir.Fd()))
}

// export runs a member on these data that forgets all others, where nobody
// reaches it, and writes what it holds then to a file.
func (s store) export(ctx context.Context, config embed.Config, to string) error {
	nobody, err := types.NewURLs([]string{"https://127.0.0.1:0"})
	if err != nil {
		return err
	}
	config.Dir, config.ForceNewCluster = s.dir, true
	config.InitialCluster = config.Name + "=" + config.AdvertisePeerUrls[0].String()
	config.ListenPeerUrls, config.ListenClientUrls, config.AdvertiseClientUrls = nobody, nobody, nobody
	config.ListenMetricsUrls = []url.URL{}
	config.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration
	etcd, err := embed.StartEtcd(&config)
	if err != nil {
		return err
	}
	defer etcd.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, forcedWithin, errors.New("not ready in time"))
	defer cancel()
	select {
	case <-etcd.Server.ReadyNotify():
	case <-etcd.Server.StopNotify():
		return errors.New("it stopped by itself")
	case err := <-etcd.Err():
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	image := etcd.Server.Backend().Snapshot()
	defer image.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = image.WriteTo(out)
	return errors.Join(err, out.Close())
}
