package etcd

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"provision/components"
)

// Store is what a member's data hold, whether or not it serves: what
// "node etcd-recover look" prints.
type Store struct {
	Cluster  string        `json:"cluster"`
	Member   string        `json:"member"`
	Term     uint64        `json:"term"`  // of the log's last entry
	Index    uint64        `json:"index"` // and its place
	Revision int64         `json:"revision"`
	Keys     int           `json:"keys"`
	Bytes    int64         `json:"bytes"`
	Written  time.Time     `json:"written"` // to the log
	Members  []StoreMember `json:"members"`
}

// StoreMember is one member as a store knows it.
type StoreMember struct {
	components.EtcdMember
	Serves bool `json:"serves"` // it answers, and has a leader
}

// ParseStore reads what "node etcd-recover look" prints.
func ParseStore(text []byte) (Store, error) {
	var s Store
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&s); err != nil {
		return Store{}, fmt.Errorf("etcd's data: %w", err)
	}
	if len(s.Members) > maxMembers {
		return Store{}, fmt.Errorf("etcd's data: %d members", len(s.Members))
	}
	return s, nil
}

// Compare says whose log went on longer, by the rule with which etcd itself
// chooses a leader: below 0 where s has less than other.
func (s Store) Compare(other Store) int {
	return cmp.Or(cmp.Compare(s.Term, other.Term), cmp.Compare(s.Index, other.Index))
}

// Voters are the ids of the members that count towards a quorum.
func (s Store) Voters() []string {
	var ids []string
	for _, m := range s.Members {
		if !m.Learner {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// Learner says that the data are of a member that had no vote yet: it may not
// have all of them.
func (s Store) Learner() bool {
	return !slices.Contains(s.Voters(), s.Member)
}
