// Command lab makes machines to test on, and takes them away: booted Debian
// containers on a network of their own. Everything it does is in package testenv.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"provision/testenv"

	"golang.org/x/sys/unix"
)

// Exit codes. `lab ssh` and `lab exec` exit as the command that they ran.
const (
	exitFailed = 1
	exitMisuse = 64
)

func main() {
	testenv.Init()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	err := newCommand().ExecuteContext(ctx)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "lab:", err)
	var failed failure
	if errors.As(err, &failed) {
		os.Exit(exitFailed)
	}
	os.Exit(exitMisuse)
}
