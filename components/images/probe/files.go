package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// cat prints a file, or standard input where the name is "-".
func cat(args []string, out io.Writer) error {
	rest, err := parse(flag.NewFlagSet("cat", flag.ContinueOnError), args, 1)
	if err != nil {
		return err
	}
	if rest[0] == "-" {
		_, err := io.Copy(out, os.Stdin)
		return err
	}
	file, err := os.Open(rest[0])
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(out, file)
	return err
}

// ls prints mode, size and name of what is in a folder.
func ls(args []string, out io.Writer) error {
	rest, err := parse(flag.NewFlagSet("ls", flag.ContinueOnError), args, 1)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(rest[0])
	if err != nil {
		return err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s %d %s\n", info.Mode(), info.Size(), entry.Name())
	}
	return nil
}

// write replaces a file's content with a text and a newline.
func write(args []string, _ io.Writer) error {
	rest, err := parse(flag.NewFlagSet("write", flag.ContinueOnError), args, 2)
	if err != nil {
		return err
	}
	return os.WriteFile(rest[0], []byte(rest[1]+"\n"), 0o644)
}

// env prints the environment.
func env(args []string, out io.Writer) error {
	if _, err := parse(flag.NewFlagSet("env", flag.ContinueOnError), args, 0); err != nil {
		return err
	}
	for _, entry := range os.Environ() {
		fmt.Fprintln(out, entry)
	}
	return nil
}

// sleep waits for --for, or until SIGTERM.
func sleep(args []string, _ io.Writer) error {
	flags := flag.NewFlagSet("sleep", flag.ContinueOnError)
	duration := flags.Duration("for", 0, "how long; 0 means until SIGTERM")
	if _, err := parse(flags, args, 0); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if *duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *duration)
		defer cancel()
	}
	<-ctx.Done()
	return nil
}
