package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"provision/overlay"
	"provision/provisioner/mesh"
	"provision/provisioner/ssh"
)

func (a *app) overlayCommand() *cobra.Command {
	var dot, svg bool
	cmd := a.withFile(&cobra.Command{
		Use:   "overlay FILE",
		Short: "Show the tunnels between the machines: who reaches whom, and how well",
		Long: `Ask every machine how its tunnels are: the last handshake, and the round trip, the loss and
the largest packet that arrives, which its agent measures through each tunnel all the time.
Every pair has two lines, one each way.

    provision overlay cluster.hcl
    provision overlay cluster.hcl --json | jq '.tunnels[] | select(.state != "well")'
    provision overlay cluster.hcl --svg > mesh.svg
    provision overlay cluster.hcl --dot | dot -Tpng > mesh.png

States: well; narrow: packets of full size do not arrive; lossy: more than a tenth is lost;
silent: nothing is answered; no peer: the machine does not know the other one; not seen: the
machine itself could not be asked.

Exit status: 0 all is well, 1 something is not.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if (dot && svg) || a.json && (dot || svg) {
				return misuse{errors.New("overlay prints one of --json, --dot and --svg")}
			}
			return a.overlay(cmd.Context(), args[0], dot, svg)
		},
	})
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON")
	cmd.Flags().BoolVar(&dot, "dot", false, "print the graph for Graphviz")
	cmd.Flags().BoolVar(&svg, "svg", false, "print a picture")
	cmd.AddCommand(a.rotateCommand())
	return cmd
}

func (a *app) overlay(ctx context.Context, path string, dot, svg bool) error {
	s, err := a.openWithout(ctx, path)
	if err != nil {
		return err
	}
	defer s.close()
	m := s.mesh(ctx)
	switch {
	case dot:
		_, err = io.WriteString(a.stdout, m.DOT())
	case svg:
		_, err = io.WriteString(a.stdout, m.SVG())
	case a.json:
		err = a.printer().Document(m)
	default:
		err = a.printer().Mesh(m)
	}
	if err == nil && !m.Healthy() {
		return status(exitFailed)
	}
	return errors.Join(err, context.Cause(ctx))
}

// mesh asks every machine.
func (s *session) mesh(ctx context.Context) mesh.Mesh {
	var names []string
	seen := map[string]mesh.Seen{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, m := range s.cluster.Machines {
		names = append(names, m.Name)
		client, ok := s.clients[m.Name]
		if !ok {
			seen[m.Name] = mesh.Seen{Err: s.unreach[m.Name]}
			continue
		}
		all.Go(func() {
			found := seeOverlay(ctx, client)
			mu.Lock()
			defer mu.Unlock()
			seen[m.Name] = found
		})
	}
	all.Wait()
	return mesh.Of(s.cluster.Name, names, seen)
}

// seeOverlay reads what a machine's agent last wrote, and the machine's clock:
// its times are by that.
func seeOverlay(ctx context.Context, client *ssh.Client) mesh.Seen {
	text, err := client.ReadFile(ctx, overlay.StatusFile)
	if errors.Is(err, fs.ErrNotExist) {
		return mesh.Seen{Err: errors.New("its overlay agent does not run: 'provision up' starts it")}
	}
	var s overlay.Status
	if err == nil {
		s, err = overlay.ParseStatus(text)
	}
	if err != nil {
		return mesh.Seen{Err: err}
	}
	clock, err := client.Run(ctx, []string{"date", "+%s"}, nil)
	if err != nil {
		return mesh.Seen{Err: err}
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(clock)), 10, 64)
	if err != nil {
		return mesh.Seen{Err: fmt.Errorf("its clock says %.40q", clock)}
	}
	return mesh.Seen{Status: s, Now: time.Unix(seconds, 0)}
}
