package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"provision/components"
	"provision/components/actions"
	"provision/provisioner/config"
	"provision/provisioner/view"
)

// The components that have a unit on a machine, by the machine's role.
var (
	everywhere = []string{"balancer", "containerd", "kubelet", "overlay", "proxy", "wireguard"}
	onMasters  = []string{"apiserver", "certificates", "controller-manager", "etcd", "scheduler"}
)

func unitsOf(role config.Role) []string {
	if role != config.Master {
		return everywhere
	}
	return slices.Sorted(slices.Values(slices.Concat(everywhere, onMasters)))
}

// logFlags are what logs is told besides where to look.
type logFlags struct {
	follow bool
	since  string
	lines  int
}

func (a *app) logsCommand() *cobra.Command {
	var flags logFlags
	cmd := a.withVariables(&cobra.Command{
		Use:   "logs FILE MACHINE [COMPONENT]",
		Short: "Show what the cluster's components say on a machine",
		Long: `Show the journal of the cluster's own units on a machine: of all of them, or of one
component. Pods' logs are Kubernetes' own: 'provision kubectl FILE -- logs POD'.

    provision logs cluster.hcl w1
    provision logs cluster.hcl w1 kubelet --since 10m
    provision logs cluster.hcl m1 apiserver -f

Components: ` + strings.Join(everywhere, ", ") + `;
on masters also ` + strings.Join(onMasters, ", ") + `.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 || len(args) > 3 {
				return misuse{fmt.Errorf("logs takes the cluster file, a machine and at most one component: provision %s", cmd.Use)}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			component := ""
			if len(args) == 3 {
				component = args[2]
			}
			return a.logs(cmd.Context(), args[0], args[1], component, flags)
		},
		ValidArgsFunction: a.completeMachines,
	})
	cmd.Flags().BoolVarP(&flags.follow, "follow", "f", false, "go on as more is said, until Ctrl-C")
	cmd.Flags().StringVar(&flags.since, "since", "", "begin so long ago (10m), or at a `time` as journalctl takes it (yesterday, 2006-01-02)")
	cmd.Flags().IntVarP(&flags.lines, "lines", "n", 200, "show so many last lines where --since is not given; 0: all")
	return cmd
}

func (a *app) logs(ctx context.Context, path, name, component string, flags logFlags) error {
	file, err := a.load(path)
	if err != nil {
		return err
	}
	m, err := find(file, name)
	if err != nil {
		return err
	}
	argv, err := journalctl(m, component, flags)
	if err != nil {
		return err
	}
	client, err := a.dial(ctx, m)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer client.Close()
	stdout, stderr := shown(a.stdout), shown(a.stderr)
	err = client.RunStream(ctx, argv, nil, stdout, stderr)
	closed := errors.Join(stdout.Close(), stderr.Close())
	if flags.follow && ctx.Err() != nil {
		return nil // that is how following ends
	}
	return errors.Join(err, closed)
}

// shown is where a machine's text goes: to a terminal as text alone, since a pod
// may have had its say in a log; to a file or a pipe as it is.
func shown(to io.Writer) io.WriteCloser {
	if file, ok := to.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return view.Text(to)
	}
	return asItIs{to}
}

type asItIs struct{ io.Writer }

func (asItIs) Close() error { return nil }

// find returns a machine of the file.
func find(file *config.File, name string) (config.Machine, error) {
	var names []string
	for _, m := range file.Machines {
		if m.Name == name {
			return m, nil
		}
		names = append(names, m.Name)
	}
	return config.Machine{}, misuse{fmt.Errorf("%s: no machine of that name in %s%s", name, file.Path, meant(name, names))}
}

// journalctl is the command that shows what is asked for.
func journalctl(m config.Machine, component string, flags logFlags) ([]string, error) {
	unit := components.UnitName + "*.service"
	if component != "" {
		if there := unitsOf(m.Role); !slices.Contains(there, component) {
			return nil, misuse{fmt.Errorf("%s: no component of that name runs on a %s%s", component, m.Role, meant(component, there))}
		}
		unit = actions.Service(component)
	}
	argv := []string{"journalctl", "--no-pager", "--quiet", "--output=short-iso", "--unit=" + unit}
	switch ago, err := time.ParseDuration(flags.since); {
	case flags.since != "" && err == nil:
		argv = append(argv, fmt.Sprintf("--since=-%ds", int(ago.Abs().Seconds())))
	case flags.since != "":
		argv = append(argv, "--since="+flags.since)
	case flags.lines > 0:
		argv = append(argv, "--lines="+strconv.Itoa(flags.lines))
	case flags.follow:
		argv = append(argv, "--no-tail")
	}
	if flags.follow {
		argv = append(argv, "--follow")
	}
	return argv, nil
}
