package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
)

// newEtcdCommand runs etcd from one YAML file of upstream's own format until
// SIGTERM or SIGINT. systemd is told READY when the member serves clients.
func newEtcdCommand() *cobra.Command {
	var file string
	kept := schedule{prefix: onSchedule}
	cmd := &cobra.Command{
		Use:          "etcd --config-file FILE",
		Short:        "Run one etcd member",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE:         func(*cobra.Command, []string) error { return runEtcd(file, kept) },
	}
	cmd.Flags().StringVar(&file, "config-file", "/etc/provision/etcd.yaml", "etcd configuration, in etcd's own YAML")
	cmd.Flags().StringVar(&kept.dir, "snapshots", "", "folder to keep snapshots of this member in; none: keep none")
	cmd.Flags().DurationVar(&kept.every, "snapshot-every", 6*time.Hour, "how often")
	cmd.Flags().IntVar(&kept.most, "snapshots-kept", 8, "how many")
	return cmd
}

func runEtcd(file string, kept schedule) error {
	config, err := embed.ConfigFromFile(file)
	if err != nil {
		return fmt.Errorf("etcd: %s: %w", file, err)
	}
	if err := enter(config); err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	// Upstream's own main fills this in; without it every request is warned of.
	if config.WarningUnaryRequestDuration == 0 {
		config.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go endSilence(ctx, portOf(config.AdvertisePeerUrls[0].Host))

	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return fmt.Errorf("etcd: start: %w", err)
	}
	defer etcd.Close()

	select {
	case <-etcd.Server.ReadyNotify():
	case <-etcd.Server.StopNotify():
		return fmt.Errorf("etcd: stopped before it was ready")
	case err := <-etcd.Err():
		return fmt.Errorf("etcd: %w", err)
	case <-stop:
		etcd.Server.Stop()
		return nil
	}
	if err := entered(); err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	// Not under systemd there is nobody to tell, which is no error.
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		return fmt.Errorf("etcd: tell systemd: %w", err)
	}
	if kept.dir != "" {
		go kept.run(ctx, etcd.GetLogger(), func() (image, error) { return summed{etcd.Server.Backend().Snapshot()}, nil })
	}
	select {
	case err := <-etcd.Err():
		return fmt.Errorf("etcd: %w", err)
	case <-etcd.Server.StopNotify():
		return fmt.Errorf("etcd: the member stopped by itself")
	case <-stop:
		etcd.Server.Stop()
		return nil
	}
}
