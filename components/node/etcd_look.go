package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/schema"
)

// kept is what "etcd-recover look" prints: components/etcd.Store.
type kept struct {
	Cluster  string       `json:"cluster"`
	Member   string       `json:"member"`
	Term     uint64       `json:"term"`
	Index    uint64       `json:"index"`
	Revision int64        `json:"revision"`
	Keys     int          `json:"keys"`
	Bytes    int64        `json:"bytes"`
	Written  time.Time    `json:"written"`
	Members  []keptMember `json:"members"`
}

type keptMember struct {
	member
	Serves bool `json:"serves,omitempty"` // it answers this machine, and has a leader
}

// look says what the data hold, and which of the other members serve. etcd may
// run on them or wait for its quorum, so the database, which it has locked, is
// copied: nobody writes to one without a quorum.
func (s store) look(ctx context.Context, pki string) (found kept, err error) {
	r, err := s.read()
	if err != nil {
		return kept{}, err
	}
	found = kept{Cluster: hex(r.id.ClusterID), Member: hex(r.id.NodeID), Term: r.term, Index: r.index}
	newest, err := s.newest()
	if err != nil {
		return kept{}, err
	}
	found.Written = newest.ModTime().UTC()
	dir, err := os.MkdirTemp(s.dir, lookFolder)
	if err != nil {
		return kept{}, err
	}
	defer os.RemoveAll(dir)
	db := filepath.Join(dir, "db")
	if err := copyFile(s.db(), db); err != nil {
		return kept{}, err
	}
	members, err := s.count(&found, db)
	if err != nil {
		return kept{}, err
	}
	serving(ctx, pki, found.Member, members, found.Members)
	return found, nil
}

// count reads a copy of the database. A damaged one makes upstream's code panic.
func (s store) count(found *kept, db string) (list []*membership.Member, err error) {
	defer func() {
		if why := recover(); why != nil {
			err = fmt.Errorf("%s is damaged: %v", s.db(), why)
		}
	}()
	status, err := snapshot.NewV3(s.log).Status(db)
	if err != nil {
		return nil, err
	}
	found.Revision, found.Keys, found.Bytes = status.Revision, status.TotalKey, status.TotalSize
	be := backend.NewDefaultBackend(s.log, db)
	defer be.Close()
	members, _ := schema.NewMembershipBackend(s.log, be).MustReadMembersFromBackend()
	for _, m := range members {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *membership.Member) int { return strings.Compare(a.Name, b.Name) })
	for _, m := range list {
		peer := ""
		if len(m.PeerURLs) > 0 {
			peer = m.PeerURLs[0]
		}
		found.Members = append(found.Members, keptMember{member: member{ID: id(m.ID), Name: m.Name, Peer: peer, Learner: m.IsLearner}})
	}
	return list, nil
}

func id(of types.ID) string { return hex(uint64(of)) }

// serving asks the other members, all at once.
func serving(ctx context.Context, pki, own string, members []*membership.Member, found []keptMember) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var asked sync.WaitGroup
	for i, m := range members {
		if len(m.ClientURLs) == 0 || id(m.ID) == own {
			continue
		}
		asked.Go(func() {
			client, err := dialMembers(pki, m.ClientURLs[0])
			if err != nil {
				return
			}
			defer client.Close()
			status, err := client.Status(ctx, m.ClientURLs[0])
			found[i].Serves = err == nil && status.Leader != 0
		})
	}
	asked.Wait()
}

func (s store) print(ctx context.Context, pki string) error {
	found, err := s.look(ctx, pki)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}
