package kube

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig returns a complete kubeconfig for the cluster of that name: the
// admin identity is in it, so the result is a secret. An empty server means the
// client's own master, https://<address>:6443; whoever uses the file must be
// able to reach that.
func (c *Client) Kubeconfig(name, server string) ([]byte, error) {
	if server == "" {
		server = "https://" + c.endpoint.hostPort()
	}
	user := name + "-admin"
	config := api.NewConfig()
	config.Clusters[name] = &api.Cluster{Server: server, CertificateAuthorityData: c.credentials.authority}
	config.AuthInfos[user] = &api.AuthInfo{
		ClientCertificateData: c.credentials.certificate,
		ClientKeyData:         c.credentials.key,
	}
	config.Contexts[name] = &api.Context{Cluster: name, AuthInfo: user}
	config.CurrentContext = name
	return clientcmd.Write(*config)
}

// KubeconfigFile returns the file that kubectl would write to: of $KUBECONFIG
// the first that exists, or ~/.kube/config.
func KubeconfigFile() string {
	return clientcmd.NewDefaultPathOptions().GetDefaultFilename()
}

// MergeKubeconfig adds what a kubeconfig holds to the one in the file, makes its
// context the current one, and keeps everything else that is there. Entries of
// the same names are replaced. The file is written atomically, with mode 0600,
// under the lock that kubectl uses.
func MergeKubeconfig(ctx context.Context, file string, kubeconfig []byte) error {
	added, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return fmt.Errorf("the new kubeconfig: %w", err)
	}
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	unlock, err := lockKubeconfig(ctx, file)
	if err != nil {
		return err
	}
	defer unlock()
	merged := api.NewConfig()
	switch present, err := os.ReadFile(file); {
	case err == nil:
		if merged, err = clientcmd.Load(present); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	for name, cluster := range added.Clusters {
		merged.Clusters[name] = cluster
	}
	for name, user := range added.AuthInfos {
		merged.AuthInfos[name] = user
	}
	for name, context := range added.Contexts {
		merged.Contexts[name] = context
	}
	merged.CurrentContext = added.CurrentContext
	content, err := clientcmd.Write(*merged)
	if err != nil {
		return err
	}
	return replace(file, content)
}

// lockKubeconfig makes the lock file that client-go makes too. It waits for
// another holder for a few seconds.
func lockKubeconfig(ctx context.Context, file string) (unlock func(), err error) {
	name := file + ".lock"
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		lock, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL, 0)
		if err == nil {
			lock.Close()
			return func() { os.Remove(name) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s is held: another kubectl is writing, or was killed while it did; then remove it", name)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// replace writes a file beside the old one and renames it into its place. The
// temporary file is 0600 from the start.
func replace(file string, content []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // fails once it is renamed
	_, err = temporary.Write(content)
	if err == nil {
		err = temporary.Sync()
	}
	if err := errors.Join(err, temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), file)
}
