package actions

import (
	"context"
	"errors"
	"io"

	"provision/components"
)

// Feed runs a command on a machine with what write writes on its standard input. Where
// write fails, its error is returned, and what the command says of a torn stream is only
// the echo.
func Feed(ctx context.Context, on components.Machine, argv []string, write func(ctx context.Context, to io.Writer) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from, to := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		err := write(ctx, to)
		to.CloseWithError(err) // nil means the end
		sent <- err
	}()
	_, err := on.Run(ctx, argv, from)
	from.CloseWithError(errNobodyReads)
	if failed := <-sent; failed != nil && !errors.Is(failed, errNobodyReads) {
		return failed
	}
	return err
}

var errNobodyReads = errors.New("the machine ended before what was sent to it did")
