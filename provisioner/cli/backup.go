package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"provision/components"
	"provision/components/pki"
	"provision/provisioner/backup"
	"provision/provisioner/plan"
)

func (a *app) backupCommand() *cobra.Command {
	var out string
	var recipients []string
	var force bool
	cmd := a.withFile(&cobra.Command{
		Use:   "backup FILE -o OUT",
		Short: "Write all that a cluster comes back from into one encrypted file",
		Long: `Write what etcd holds, the cluster's authorities and keys, its inventory and the cluster
file into one file, encrypted with a passphrase ($PROVISION_PASSPHRASE, or asked for) or
to age recipients, whose keys alone open it. It is read back and checked before it takes
its name. Nothing is changed on the machines, and the cluster serves meanwhile.

    provision backup cluster.hcl -o site.backup
    provision backup cluster.hcl -o site.backup --recipient age1...
    provision inspect site.backup
    provision restore cluster.hcl site.backup

What pods wrote to disks of machines is not in it. Whoever has the file and its
passphrase has the cluster: keep the two apart.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.backup(cmd.Context(), args[0], out, recipients, force)
		},
	})
	cmd.Flags().StringVarP(&out, "output", "o", "", "the `file` to write")
	cmd.Flags().StringArrayVar(&recipients, "recipient", nil, "encrypt to this age `key` (age1...) and not with a passphrase (may be repeated)")
	cmd.Flags().BoolVar(&force, "force", false, "replace a file that is there")
	cmd.Flags().BoolVar(&a.json, "json", false, "print what was written as JSON")
	return cmd
}

// seal is how a backup is encrypted, and how it is read back to be checked.
type seal struct {
	to    []age.Recipient
	check age.Identity
}

// sealWith makes the seal: of age's recipients, else of a passphrase.
func (a *app) sealWith(recipients []string) (seal, error) {
	if len(recipients) == 0 {
		words, err := a.passphrase(true)
		if err != nil {
			return seal{}, err
		}
		to, err := age.NewScryptRecipient(words)
		if err != nil {
			return seal{}, err
		}
		check, err := age.NewScryptIdentity(words)
		return seal{[]age.Recipient{to}, check}, err
	}
	var s seal
	for _, text := range recipients {
		to, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil || len(to) != 1 {
			return seal{}, misuse{fmt.Errorf("--recipient %.80q is no public key of age's, like age1...", text)}
		}
		s.to = append(s.to, to[0])
	}
	// Nobody here has a recipient's key: one that lives as long as this process reads
	// the file back.
	once, err := age.GenerateX25519Identity()
	if err != nil {
		return seal{}, err
	}
	return seal{append(s.to, once.Recipient()), once}, nil
}

// backupDone is what --json prints.
type backupDone struct {
	File       string    `json:"file"`
	Bytes      int64     `json:"bytes"`
	ID         string    `json:"id"`
	Cluster    string    `json:"cluster"`
	Kubernetes string    `json:"kubernetes"`
	Taken      time.Time `json:"taken"`
	Machines   []string  `json:"machines"`
}

func (a *app) backup(ctx context.Context, path, out string, recipients []string, force bool) error {
	if out == "" {
		return misuse{errors.New("-o says which file to write: provision backup FILE -o OUT")}
	}
	if _, err := os.Lstat(out); err == nil && !force {
		return fmt.Errorf("%s is there already: name another file, or say --force", out)
	}
	file, err := a.load(path)
	if err != nil {
		return err
	}
	hcl, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	with, err := a.sealWith(recipients)
	if err != nil {
		return err
	}
	s, err := a.openWithout(ctx, path)
	if err != nil {
		return err
	}
	defer s.close()
	found, err := s.look(ctx)
	if err := errors.Join(err, s.strangers()); err != nil {
		return err
	}
	if err := problems(plan.Strangers(s.cluster, found)); err != nil {
		return err
	}
	if plan.Rotating(s.cluster, found) {
		return errors.New("the authorities are being replaced, and half of that is no backup: run `provision certs rotate --ca` again, which goes on with it, and then this")
	}
	from, err := s.keeper(ctx, found)
	if err != nil {
		return err
	}
	contents := backup.Contents{
		ID: rand.Text(), Cluster: file.Cluster.Name, Kubernetes: from.version, Taken: time.Now().UTC().Truncate(time.Second),
		Network: s.cluster.Network, Machines: found.Cluster.Inventory,
	}
	if len(contents.Machines) == 0 { // the API does not answer, or is older than inventories
		for _, m := range s.cluster.Machines {
			contents.Machines = append(contents.Machines, m.Member())
		}
	}
	size, err := writeBackup(ctx, out, contents, hcl, from, with)
	if err != nil {
		return err
	}
	done := backupDone{out, size, contents.ID, contents.Cluster, contents.Kubernetes, contents.Taken, nil}
	for _, m := range contents.Machines {
		done.Machines = append(done.Machines, m.Name)
	}
	if a.json {
		return a.printer().Document(done)
	}
	fmt.Fprintf(a.stdout, "%s: %s of cluster %s, Kubernetes %s, read back and whole\n", out, megabytes(size), done.Cluster, done.Kubernetes)
	return nil
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// keeper is a master whose member of etcd serves, and which has the authorities.
type keeper struct {
	s       *session
	name    string
	agent   string // path of its agent
	node    string // path of its node program
	version string // of Kubernetes
}

func (s *session) keeper(ctx context.Context, found plan.Facts) (keeper, error) {
	var why []error
	for _, m := range s.cluster.Masters() {
		f, answered := found.Machines[m.Name]
		switch {
		case !answered:
			why = append(why, fmt.Errorf("%s: %w", m.Name, s.unreach[m.Name]))
			continue
		case f.Etcd.Leader == "":
			why = append(why, fmt.Errorf("%s: its etcd does not serve", m.Name))
			continue
		case !pki.Complete(f) || len(f.Agents) == 0:
			why = append(why, fmt.Errorf("%s: it has not the cluster's authorities", m.Name))
			continue
		}
		id, err := runningBundle(ctx, s.clients[m.Name])
		if err != nil {
			why = append(why, err)
			continue
		}
		version, _, _ := strings.Cut(id, "-")
		agents := slices.Sorted(maps.Keys(f.Agents))
		return keeper{s, m.Name, agents[len(agents)-1], components.Root + "/" + id + "/bin/node", version}, nil
	}
	return keeper{}, fmt.Errorf("nothing can be backed up, since no master's etcd serves: %w", errors.Join(why...))
}

// parts reads the small pieces.
func (k keeper) parts(ctx context.Context) (backup.Parts, error) {
	on := k.s.clients[k.name]
	authorities, err := on.Run(ctx, []string{k.agent, "certificates", "export-authorities", "--dir", components.PKI}, nil)
	if err != nil {
		return backup.Parts{}, err
	}
	psk, err := on.ReadFile(ctx, components.PresharedKey)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return backup.Parts{}, err
	}
	return backup.Parts{Authorities: authorities, PresharedKey: psk}, nil
}

// snapshot streams etcd's.
func (k keeper) snapshot(ctx context.Context, to io.Writer) error {
	err := k.s.clients[k.name].RunStream(ctx, []string{k.node, "etcd-snapshot"}, nil, to, nil)
	if exit, ok := errors.AsType[*components.ExitError](err); ok && exit.Code == exitMisuse {
		return fmt.Errorf("%s: its bundle is older than backups; `provision up` brings a newer one", k.name)
	}
	return err
}

// writeBackup writes the file beside its place, reads it back, and gives it its name.
func writeBackup(ctx context.Context, out string, contents backup.Contents, hcl []byte, from keeper, with seal) (int64, error) {
	parts, err := from.parts(ctx)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", from.name, err)
	}
	parts.HCL = hcl
	temp, err := os.CreateTemp(filepath.Dir(out), ".provision-backup-*") // 0600
	if err != nil {
		return 0, err
	}
	defer os.Remove(temp.Name())
	defer temp.Close()
	if err := backup.Write(ctx, temp, contents, parts, from.snapshot, with.to...); err != nil {
		return 0, cmp.Or(context.Cause(ctx), err)
	}
	after, err := from.parts(ctx)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", from.name, err)
	}
	if !bytes.Equal(after.Authorities, parts.Authorities) || !bytes.Equal(after.PresharedKey, parts.PresharedKey) {
		return 0, errors.New("the cluster's keys were changed in the middle of it; take it again")
	}
	size, err := temp.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(temp.Sync(), temp.Close()); err != nil {
		return 0, err
	}
	written, err := os.Open(temp.Name())
	if err != nil {
		return 0, err
	}
	defer written.Close()
	read, _, err := backup.Read(written, io.Discard, with.check)
	if err == nil && read.ID != contents.ID {
		err = backup.ErrForeign
	}
	if err != nil {
		return 0, fmt.Errorf("read back: it %w", err)
	}
	if err := os.Rename(temp.Name(), out); err != nil {
		return 0, err
	}
	dir, err := os.Open(filepath.Dir(out))
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	return size, dir.Sync()
}

// authoritySums are the sums of the files that an export of authorities has.
func authoritySums(export []byte) (map[string]string, error) {
	var files struct {
		Files map[string]string `json:"files"`
	}
	if err := json.Unmarshal(export, &files); err != nil {
		return nil, backup.ErrDamaged
	}
	sums := map[string]string{}
	for name, text := range files.Files {
		sums[name] = components.Sum([]byte(text))
	}
	return sums, nil
}
