package etcd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"provision/components"
)

// Join brings a master into the etcd of the others: added as a learner, which
// has no vote, started, and promoted when it has caught up. So a machine that
// fails on the way never counts towards the quorum. It goes on where a killed
// run stopped.
type Join struct {
	Name string // the member's and its machine's
	Peer string // its URL
	Via  string // the machine whose member is asked
	Node string // path of the bundle's node program, the same on both
	// Replace says that a member with this URL lost its data, and is removed first:
	// a store that begins anew under an old member's id could break promises which
	// that one made.
	Replace bool
}

// joinWithin bounds a join: a big store has to be sent, a slow disk to take it.
const joinWithin = 6 * time.Minute

// answerWithin bounds the wait for the member that is asked.
const answerWithin = time.Minute

// Component is "etcd".
func (Join) Component() string { return "etcd" }

func (a Join) String() string {
	if a.Replace {
		return "remove the member that lost its data, join as a learner, catch up, and be promoted"
	}
	return "join as a learner, catch up, and be promoted"
}

// Touches is empty: all of it is in folders and units of ours.
func (Join) Touches() []components.Touch { return nil }

// Apply joins.
func (a Join) Apply(ctx context.Context, on components.Machine, site components.Site) error {
	ctx, cancel := context.WithTimeout(ctx, joinWithin)
	defer cancel()
	via, err := site.Machine(a.Via)
	if err != nil {
		return err
	}
	has, err := hasData(ctx, on)
	if err != nil {
		return err
	}
	if !has {
		if err := a.enter(ctx, on, via); err != nil {
			return err
		}
	}
	for _, argv := range [][]string{
		{"systemctl", "enable", "--quiet", Unit},
		{"systemctl", "start", "--no-block", Unit},
	} {
		if _, err := on.Run(ctx, argv, nil); err != nil {
			return err
		}
	}
	return a.members(ctx, via, "promote", a.Peer)
}

// enter adds the member and tells its machine with whom it will be.
func (a Join) enter(ctx context.Context, on, via components.Machine) error {
	list, err := a.list(ctx, via)
	if err != nil {
		return err
	}
	added := false
	for _, member := range list.Members {
		if member.Peer != a.Peer {
			continue
		}
		if added = member.Name == ""; added {
			continue // a killed run's: it never started
		}
		if !member.Learner && !a.Replace {
			return fmt.Errorf("etcd has had a member at %s, which is not on this machine any more; run again to see what is to be done", a.Peer)
		}
		if err := a.members(ctx, via, "remove", a.Peer); err != nil {
			return err
		}
	}
	if !added {
		if err := a.members(ctx, via, "add", a.Peer); err != nil {
			return err
		}
	}
	if list, err = a.list(ctx, via); err != nil {
		return err
	}
	members := map[string]string{}
	for _, member := range list.Members {
		if member.Peer == a.Peer {
			member.Name = a.Name
		}
		if _, twice := members[member.Name]; twice || member.Name == "" {
			return fmt.Errorf("on %s: etcd's members are not settled (%q at %s)", a.Via, member.Name, member.Peer)
		}
		members[member.Name] = member.Peer
	}
	if err := on.WriteFile(ctx, EntryFile, 0o600, entryText(false, members)); err != nil {
		return err
	}
	return on.WriteFile(ctx, BegunFile, 0o600, []byte(begun))
}

func (a Join) list(ctx context.Context, via components.Machine) (components.EtcdFact, error) {
	// The member that is asked may have been started a moment ago. This waits until it serves.
	waiting, cancel := context.WithTimeoutCause(ctx, answerWithin, errors.New("etcd does not serve: it finds no quorum"))
	defer cancel()
	if _, err := via.Run(waiting, []string{"systemctl", "start", Unit}, nil); err != nil {
		return components.EtcdFact{}, fmt.Errorf("on %s: %w", a.Via, err)
	}
	out, err := via.Run(ctx, []string{a.Node, "etcd-members", "list"}, nil)
	if err != nil {
		return components.EtcdFact{}, fmt.Errorf("on %s: %w", a.Via, err)
	}
	return ParseMembers(out)
}

func (a Join) members(ctx context.Context, via components.Machine, verb, peer string) error {
	if _, err := via.Run(ctx, []string{a.Node, "etcd-members", verb, peer}, nil); err != nil {
		return fmt.Errorf("on %s: %w", a.Via, err)
	}
	return nil
}

// maxMembers is more than etcd itself can do with.
const maxMembers = 64

// ParseMembers reads what "node etcd-members list" prints.
func ParseMembers(text []byte) (components.EtcdFact, error) {
	var fact components.EtcdFact
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&fact); err != nil {
		return components.EtcdFact{}, fmt.Errorf("etcd's members: %w", err)
	}
	if len(fact.Members) > maxMembers {
		return components.EtcdFact{}, fmt.Errorf("etcd's members: %d of them", len(fact.Members))
	}
	return fact, nil
}

// hasData says whether there is a store on the machine.
func hasData(ctx context.Context, on components.Machine) (bool, error) {
	_, err := on.Run(ctx, []string{"test", "-e", dataFolder + "/member/wal"}, nil)
	var exit *components.ExitError
	if errors.As(err, &exit) && exit.Code == 1 {
		return false, nil
	}
	return err == nil, err
}

// entryText is EntryFile's content; components/node reads it.
func entryText(first bool, members map[string]string) []byte {
	text, err := json.MarshalIndent(struct {
		New     bool              `json:"new"`
		Members map[string]string `json:"members"`
	}{first, members}, "", "  ")
	if err != nil {
		panic(err) // strings always marshal
	}
	return append(text, '\n')
}
