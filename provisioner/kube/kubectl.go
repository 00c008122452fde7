package kube

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/kubectl/pkg/cmd"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
)

// kubectlOnce keeps two kubectls of one process apart: what upstream does on a
// fatal error, and the environment it reads, are the process's.
var kubectlOnce sync.Mutex

// exitCode is thrown where upstream would end the process.
type exitCode int

// Kubectl runs upstream's kubectl in this process and returns its exit code. Its
// connections go through SSH for as long as it runs. It reads no kubeconfig and
// no kuberc of the user's, and writes no credential; what it discovers of the
// API is cached in the user's cache folder, for this cluster alone.
//
// "-f -" reads stdin only where that is an *os.File. When ctx ends (the user
// interrupted), the connections are closed and the code is 130.
func Kubectl(ctx context.Context, c *Client, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	kubectlOnce.Lock()
	defer kubectlOnce.Unlock()
	config, err := c.rest()
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return 1
	}
	restore := settle(stdin)
	done := make(chan int, 1)
	go func() {
		done <- runKubectl(ctx, config, args, genericiooptions.IOStreams{In: stdin, Out: stdout, ErrOut: stderr}, c.cacheDir())
	}()
	select {
	case code := <-done:
		restore()
		return code
	case <-ctx.Done():
	}
	// Without connections kubectl comes to its end by itself, and gives the
	// terminal back. One that waits for its input does not; the caller exits.
	c.Close()
	select {
	case <-done:
		restore()
	case <-time.After(time.Second):
	}
	return 130
}

// settle hides the user's own configuration and points os.Stdin to stdin, since
// upstream reads both from the process.
func settle(stdin io.Reader) (restore func()) {
	var undo []func()
	for name, value := range map[string]string{"KUBECONFIG": os.DevNull, "KUBECTL_KUBERC": "false"} {
		old, was := os.LookupEnv(name)
		os.Setenv(name, value)
		undo = append(undo, func() {
			if was {
				os.Setenv(name, old)
			} else {
				os.Unsetenv(name)
			}
		})
	}
	if file, is := stdin.(*os.File); is {
		old := os.Stdin
		os.Stdin = file
		undo = append(undo, func() { os.Stdin = old })
	}
	return func() {
		for _, f := range undo {
			f()
		}
	}
}

func runKubectl(ctx context.Context, config *rest.Config, args []string, streams genericiooptions.IOStreams, cache string) (code int) {
	defer func() {
		switch thrown := recover().(type) {
		case nil:
		case exitCode:
			code = int(thrown)
		default:
			panic(thrown)
		}
	}()
	cmdutil.BehaviorOnFatal(func(message string, code int) {
		if message != "" {
			fmt.Fprintln(streams.ErrOut, strings.TrimSuffix(message, "\n"))
		}
		panic(exitCode(code))
	})
	defer cmdutil.DefaultBehaviorOnFatal()

	flags := genericclioptions.NewConfigFlags(true).
		WithDiscoveryBurst(300).WithDiscoveryQPS(50).WithWarningPrinter(streams).
		WithWrapConfigFn(func(made *rest.Config) *rest.Config {
			made.Host, made.Proxy, made.TLSClientConfig = config.Host, config.Proxy, config.TLSClientConfig
			return made
		})
	flags.APIServer, flags.CacheDir = &config.Host, &cache
	command := cmd.NewDefaultKubectlCommandWithArgs(cmd.KubectlOptions{
		ConfigFlags: flags,
		Arguments:   append([]string{"kubectl"}, args...),
		IOStreams:   streams,
	})
	drop(command, "config", "plugin") // there is no file of the user's to work on, and no plugin is looked for
	addVerbosity(command)
	command.SetArgs(args)
	command.SetIn(streams.In)
	command.SetOut(streams.Out)
	command.SetErr(streams.ErrOut)
	command.SilenceErrors, command.SilenceUsage = true, true
	command.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		fmt.Fprintln(streams.ErrOut, c.UsageString())
		return err
	})
	cmdutil.CheckErr(command.ExecuteContext(ctx))
	return 0
}

func drop(command *cobra.Command, names ...string) {
	for _, child := range command.Commands() {
		for _, name := range names {
			if child.Name() == name {
				command.RemoveCommand(child)
			}
		}
	}
}

// addVerbosity gives kubectl its -v, which upstream's main adds.
func addVerbosity(command *cobra.Command) {
	var all flag.FlagSet
	klog.InitFlags(&all)
	if verbosity := all.Lookup("v"); verbosity != nil {
		command.PersistentFlags().AddGoFlag(verbosity)
	}
}

// cacheDir names a folder by the cluster's CA: clusters come and go at the same
// address, and one must not be shown another's types.
func (c *Client) cacheDir() string {
	sum := sha256.Sum256(c.credentials.authority)
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	return filepath.Join(base, "provision", "kubectl", hex.EncodeToString(sum[:6]))
}
