// Package probe finds out what only a program on the machine can: what its
// kernel does when it is asked, and whether packets get from one machine to
// another. It changes nothing that lasts.
//
// What a shell can read is provisioner/facts' script's; what to make of an
// answer is the plan's.
package probe

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"provision/components/agent/durable"
	"provision/overlay/device"
)

// Result is what "agent probe" prints. A feature that is missing has its reason
// in Problems, under its own name.
type Result struct {
	WireGuard bool              `json:"wireguard"` // in the kernel
	TUN       bool              `json:"tun"`       // userspace WireGuard is possible
	NFTables  bool              `json:"nf_tables"` // its tables can be listed
	LowerOOM  bool              `json:"lower_oom"` // an OOM score can be lowered
	Cgroup    int               `json:"cgroup"`    // 1 or 2; hybrid is 1
	BootID    string            `json:"boot_id"`
	Uptime    float64           `json:"uptime"` // seconds of the boot clock
	Listening []Listener        `json:"listening"`
	Problems  map[string]string `json:"problems,omitempty"`
}

// Listener is one listening socket.
type Listener struct {
	Proto   string `json:"proto"`             // "tcp" or "udp"
	Addr    string `json:"addr"`              // 10.0.0.1:6443
	Process string `json:"process,omitempty"` // its name, where it can be known
}

// NewCommand returns "agent probe".
func NewCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "probe",
		Short: "Say what this machine's kernel can do and who listens",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return json.NewEncoder(command.OutOrStdout()).Encode(probe())
		},
	}
	command.AddCommand(newListenCommand(), newReachCommand())
	return command
}

func probe() Result {
	r := Result{Cgroup: cgroups(), Problems: map[string]string{}}
	r.WireGuard = r.try("wireguard", func() error {
		supported, err := device.KernelSupport()
		if err == nil && !supported {
			err = errors.New("the kernel has no WireGuard")
		}
		return err
	})
	r.TUN = r.try("tun", tun)
	r.NFTables = r.try("nf_tables", tables)
	r.LowerOOM = r.try("lower_oom", lowerOOM)
	r.try("clock", func() error {
		boot, err := durable.Read("/proc/sys/kernel/random/boot_id", 1<<10)
		r.BootID = strings.TrimSpace(string(boot))
		var now unix.Timespec
		err = errors.Join(err, unix.ClockGettime(unix.CLOCK_BOOTTIME, &now))
		r.Uptime = time.Duration(now.Nano()).Seconds()
		return err
	})
	r.try("listening", func() (err error) {
		r.Listening, err = listeners("/proc")
		return err
	})
	return r
}

// try says whether something works, and keeps why not.
func (r *Result) try(name string, attempt func() error) bool {
	err := attempt()
	if err != nil {
		r.Problems[name] = err.Error()
	}
	return err == nil
}

func tun() error {
	file, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return file.Close()
}

func tables() error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	_, err = conn.ListTables()
	return err
}

// lowerOOM tries what containerd and kubelet would do for themselves, on this
// process, and goes back.
func lowerOOM() error {
	const file = "/proc/self/oom_score_adj"
	before, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	present, err := strconv.Atoi(strings.TrimSpace(string(before)))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := os.WriteFile(file, []byte(strconv.Itoa(min(present, 0)-1)), 0); err != nil && present > -1000 {
		return err
	}
	return os.WriteFile(file, before, 0)
}

func cgroups() int {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return 2
	}
	return 1
}
