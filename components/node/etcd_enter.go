package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.etcd.io/etcd/server/v3/embed"
)

// entryFile says how a member without data gets into its cluster. The
// provisioner writes it (components/etcd.Entry), and the member removes it once
// it has entered: whoever finds neither data nor this file has lost a store,
// and must not begin an empty one in its place.
const entryFile = "/var/lib/provision/stamps/etcd-entry.json"

// entry is the file's content.
type entry struct {
	New     bool              `json:"new"`     // the first member of a new cluster; else one was added for it
	Members map[string]string `json:"members"` // peer URLs by name, this member's own included
}

// enter completes the configuration of a member that has no data yet.
func enter(config *embed.Config) error {
	own := config.AdvertisePeerUrls
	if len(own) != 1 {
		return fmt.Errorf("initial-advertise-peer-urls: %d of them, where one is wanted", len(own))
	}
	config.InitialCluster = config.Name + "=" + own[0].String()
	segments, err := filepath.Glob(filepath.Join(config.Dir, "member", "wal", "*.wal"))
	if err != nil || len(segments) > 0 {
		return err
	}
	text, err := os.ReadFile(entryFile)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s holds no data, and nothing says how to begin: run `provision up`", config.Dir)
	}
	if err != nil {
		return err
	}
	var e entry
	if err := json.Unmarshal(text, &e); err != nil {
		return fmt.Errorf("%s: %w", entryFile, err)
	}
	if e.Members[config.Name] != own[0].String() {
		return fmt.Errorf("%s: %s is not among the members as %s", entryFile, config.Name, own[0].String())
	}
	var members []string
	for name, peer := range e.Members {
		if _, err := url.Parse(peer); err != nil {
			return fmt.Errorf("%s: %w", entryFile, err)
		}
		members = append(members, name+"="+peer)
	}
	slices.Sort(members)
	config.InitialCluster = strings.Join(members, ",")
	config.ClusterState = embed.ClusterStateFlagExisting
	if e.New {
		config.ClusterState = embed.ClusterStateFlagNew
	}
	return nil
}

// entered removes the file: from now on the data say who the members are.
func entered() error {
	if err := os.Remove(entryFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
