package sftp

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/pkg/sftp"
)

func TestFilesGoBothWaysAndTheEndIsNoError(t *testing.T) {
	toServer, fromClient := io.Pipe()
	toClient, fromServer := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- serve(toServer, fromServer)
		fromServer.Close()
	}()
	client, err := sftp.NewClientPipe(toClient, fromClient)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "file")
	file, err := client.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write([]byte("content")); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := client.PosixRename(name, name+".new"); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(name + ".new"); err != nil || string(text) != "content" {
		t.Errorf("on disk: %q, %v", text, err)
	}
	fromClient.Close()
	if err := <-done; err != nil {
		t.Errorf("served to the end: %v", err)
	}
}
