package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// askTimeout bounds one question to one member.
const askTimeout = 3 * time.Second

// newMembersCommand asks and changes who the members of etcd's cluster are, at
// the member on this machine. What it prints is components.EtcdFact.
func newMembersCommand() *cobra.Command {
	var pki, endpoint string
	cmd := &cobra.Command{
		Use:   "etcd-members",
		Short: "List, add, promote and remove the members of etcd's cluster",
	}
	cmd.PersistentFlags().StringVar(&pki, "pki", "/etc/provision/pki", "folder of the API server's identity towards etcd")
	cmd.PersistentFlags().StringVar(&endpoint, "endpoint", "https://127.0.0.1:2379", "this machine's member")
	with := func(use, short string, args cobra.PositionalArgs, do func(ctx context.Context, m members, args []string) error) {
		cmd.AddCommand(&cobra.Command{
			Use: use, Short: short, Args: args, SilenceUsage: true,
			RunE: func(cmd *cobra.Command, args []string) error {
				m, err := dialMembers(pki, endpoint)
				if err != nil {
					return err
				}
				defer m.Close()
				return do(cmd.Context(), m, args)
			},
		})
	}
	with("list", "Print what this member knows, as JSON", cobra.NoArgs,
		func(ctx context.Context, m members, _ []string) error { return m.print(ctx) })
	with("add URL", "Add a learner with that peer URL", cobra.ExactArgs(1),
		func(ctx context.Context, m members, args []string) error { return m.add(ctx, args[0]) })
	with("promote URL", "Make the learner with that peer URL a voter once it has caught up", cobra.ExactArgs(1),
		func(ctx context.Context, m members, args []string) error { return m.promote(ctx, args[0]) })
	with("remove URL", "Remove the member with that peer URL, unless the rest would be no quorum", cobra.ExactArgs(1),
		func(ctx context.Context, m members, args []string) error { return m.remove(ctx, args[0]) })
	return cmd
}

// members is a client of the member on this machine.
type members struct {
	*clientv3.Client
	endpoint string
	tls      *tls.Config
}

func dialMembers(pki, endpoint string) (members, error) {
	identity := transport.TLSInfo{
		CertFile: pki + "/apiserver-etcd-client.crt", KeyFile: pki + "/apiserver-etcd-client.key", TrustedCAFile: pki + "/etcd-ca-trust.pem",
	}
	config, err := identity.ClientConfig()
	if err != nil {
		return members{}, err
	}
	client, err := clientTo(config, endpoint)
	return members{client, endpoint, config}, err
}

func clientTo(config *tls.Config, endpoint string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, TLS: config, DialTimeout: askTimeout, Logger: zap.NewNop()})
}

// known is what is printed; ids are hexadecimal, as etcd's own tools print them.
type known struct {
	Cluster string   `json:"cluster"`
	Member  string   `json:"member"`
	Leader  string   `json:"leader,omitempty"` // none: there is no quorum
	Members []member `json:"members"`
}

type member struct {
	ID      string `json:"id"`
	Name    string `json:"name,omitempty"` // none: it never started
	Peer    string `json:"peer"`
	Learner bool   `json:"learner,omitempty"`
}

func hex(id uint64) string { return strconv.FormatUint(id, 16) }

// list asks this member alone, so that it also answers without a quorum.
func (m members) list(ctx context.Context) (*clientv3.MemberListResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return m.MemberList(ctx, clientv3.WithSerializable())
}

func (m members) print(ctx context.Context) error {
	list, err := m.list(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	status, err := m.Status(ctx, m.endpoint)
	if err != nil {
		return err
	}
	out := known{Cluster: hex(list.Header.ClusterId), Member: hex(status.Header.MemberId)}
	if status.Leader != 0 {
		out.Leader = hex(status.Leader)
	}
	for _, found := range list.Members {
		for _, peer := range found.PeerURLs {
			out.Members = append(out.Members, member{ID: hex(found.ID), Name: found.Name, Peer: peer, Learner: found.IsLearner})
		}
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

func (m members) find(ctx context.Context, peer string) (*etcdserverpb.Member, []*etcdserverpb.Member, error) {
	list, err := m.list(ctx)
	if err != nil {
		return nil, nil, err
	}
	var found *etcdserverpb.Member
	var others []*etcdserverpb.Member
	for _, member := range list.Members {
		if len(member.PeerURLs) == 1 && member.PeerURLs[0] == peer {
			found = member
			continue
		}
		others = append(others, member)
	}
	return found, others, nil
}

func (m members) add(ctx context.Context, peer string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*askTimeout)
	defer cancel()
	found, _, err := m.find(ctx, peer)
	if err != nil {
		return err
	}
	if found != nil {
		return fmt.Errorf("%s is a member already", peer)
	}
	// A member that was just added or removed is not settled for a moment.
	return again(ctx, func() error {
		_, err := m.MemberAddAsLearner(ctx, []string{peer})
		return err
	}, rpctypes.ErrUnhealthy, rpctypes.ErrMemberNotEnoughStarted, rpctypes.ErrTooManyLearners)
}

func (m members) promote(ctx context.Context, peer string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // its whole store has to be sent
	defer cancel()
	found, _, err := m.find(ctx, peer)
	if err != nil {
		return err
	}
	if found == nil {
		return fmt.Errorf("%s is no member", peer)
	}
	if !found.IsLearner {
		return nil
	}
	return again(ctx, func() error {
		_, err := m.MemberPromote(ctx, found.ID)
		return err
	}, rpctypes.ErrMemberLearnerNotReady, rpctypes.ErrUnhealthy, rpctypes.ErrMemberNotEnoughStarted)
}

// remove looks, before it removes, at how many of the voters that would be left
// answer: a quorum of them must.
func (m members) remove(ctx context.Context, peer string) error {
	found, others, err := m.find(ctx, peer)
	if err != nil || found == nil {
		return err
	}
	voters := 0
	healthy := make(chan bool, len(others))
	var asked sync.WaitGroup
	for _, other := range others {
		if other.IsLearner {
			continue
		}
		voters++
		asked.Go(func() { healthy <- m.answers(ctx, other) })
	}
	asked.Wait()
	close(healthy)
	alive := 0
	for answered := range healthy {
		if answered {
			alive++
		}
	}
	if !found.IsLearner && alive < voters/2+1 {
		return fmt.Errorf("without %s etcd would have %d members, of which %d answer: no quorum; start the others first", peer, voters, alive)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*askTimeout)
	defer cancel()
	return again(ctx, func() error {
		_, err := m.MemberRemove(ctx, found.ID)
		if errors.Is(err, rpctypes.ErrMemberNotFound) {
			return nil
		}
		return err
	}, rpctypes.ErrUnhealthy)
}

func (m members) answers(ctx context.Context, other *etcdserverpb.Member) bool {
	if len(other.ClientURLs) == 0 {
		return false
	}
	client, err := clientTo(m.tls, other.ClientURLs[0])
	if err != nil {
		return false
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	status, err := client.Status(ctx, other.ClientURLs[0])
	return err == nil && status.Leader != 0
}

// again repeats while the answer is one of those that pass.
func again(ctx context.Context, ask func() error, passing ...error) error {
	for {
		err := ask()
		passes := false
		for _, p := range passing {
			passes = passes || errors.Is(err, p)
		}
		if !passes {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}
