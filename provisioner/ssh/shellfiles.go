package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"provision/components"
)

// shellFiles reads and writes files through sh and coreutils, for when there is
// no SFTP server that is root.
type shellFiles struct{ client *Client }

const (
	noSuchFile = 44
	readScript = `[ -e "$1" ] || [ -L "$1" ] || exit 44
exec cat -- "$1"`

	// The folder's mode is set by its own umask, the file's only at the end.
	// sync with a file is coreutils' since 8.24.
	writeScript = `set -e
dir=$(dirname -- "$1")
[ -d "$dir" ] || (umask 022; mkdir -p -- "$dir")
umask 077
new=$(mktemp -- "$dir/.provision.XXXXXXXX")
trap 'rm -f -- "$new"' EXIT
trap 'exit 1' HUP INT TERM
cat >"$new"
[ "$(wc -c <"$new")" -eq "$3" ] || { echo "only a part arrived" >&2; exit 1; }
chmod -- "$2" "$new"
sync -- "$new"
mv -fT -- "$new" "$1"`
)

func (f shellFiles) read(ctx context.Context, name string) ([]byte, error) {
	data, err := f.client.Run(ctx, []string{"sh", "-c", readScript, "sh", name}, nil)
	return data, shellError(err)
}

func (f shellFiles) write(ctx context.Context, name string, mode fs.FileMode, data []byte) error {
	argv := []string{"sh", "-c", writeScript, "sh", name, fmt.Sprintf("%04o", mode), fmt.Sprint(len(data))}
	_, err := f.client.Run(ctx, argv, bytes.NewReader(data))
	return shellError(err)
}

// shellError leaves the script out of the error.
func shellError(err error) error {
	var exit *components.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if exit.Code == noSuchFile {
		return fs.ErrNotExist
	}
	exit.Argv = []string{"sh"}
	return exit
}
