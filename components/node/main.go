// Command node is every upstream Kubernetes process and etcd in one binary.
//
// A machine runs it once for each component ("node apiserver", "node kubelet",
// ...): upstream's commands install process-wide signal handlers and flags, so
// two cannot share a process, but the shared pages make several processes of
// one binary nearly as small as one. Nothing else in this project links
// Kubernetes; what is ours lives in the agent.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // CronJob time zones

	"github.com/spf13/cobra"
	"k8s.io/client-go/transport"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // build_info metric
	"k8s.io/component-base/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

var components = map[string]func() *cobra.Command{
	"apiserver":          apiserver.NewAPIServerCommand,
	"controller-manager": controllermanager.NewControllerManagerCommand,
	"etcd":               newEtcdCommand,
	"etcd-members":       newMembersCommand,
	"etcd-recover":       newRecoverCommand,
	"etcd-snapshot":      newSnapshotCommand,
	"kubelet":            func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	"proxy":              proxy.NewProxyCommand,
	"scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"version":            newVersionCommand,
}

// refreshCertificates is how often clients look whether their certificate is another
// by now; upstream's five minutes are for those that live for hours.
const refreshCertificates = 20 * time.Second

func main() {
	transport.CertCallbackRefreshDuration = refreshCertificates
	if len(os.Args) < 2 {
		usage()
	}
	newCommand, ok := components[os.Args[1]]
	if !ok {
		usage()
	}
	// Upstream's flag parsing looks at os.Args; it must see itself as argv[0].
	os.Args = append([]string{os.Args[0] + "-" + os.Args[1]}, os.Args[2:]...)
	os.Exit(cli.Run(newCommand()))
}

func usage() {
	var names []string
	for name := range components {
		names = append(names, name)
	}
	slices.Sort(names)
	fmt.Fprintf(os.Stderr, "usage: %s %s [flags]\n", filepath.Base(os.Args[0]), strings.Join(names, "|"))
	os.Exit(64)
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the Kubernetes version this binary was built from",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version.Get().GitVersion)
			return err
		},
	}
}
