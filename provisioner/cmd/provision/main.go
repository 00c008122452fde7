// Command provision turns machines that answer SSH into a Kubernetes cluster.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"provision/provisioner/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A reader that went away (| head) is an error of writing, not the end of a run.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	// The second signal is not caught: whoever sends it means it.
	context.AfterFunc(ctx, stop)
	code := cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
