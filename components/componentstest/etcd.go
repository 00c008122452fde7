package componentstest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"provision/components"
	"provision/components/etcd"
)

// ensemble is etcd's cluster as far as membership goes: who is in it, and that
// nothing works without a quorum. It belongs to a site.
type ensemble struct {
	mu      sync.Mutex
	members []*etcdMember
	next    int
}

type etcdMember struct {
	components.EtcdMember
	running bool
}

func (e *ensemble) find(peer string) *etcdMember {
	i := slices.IndexFunc(e.members, func(m *etcdMember) bool { return m.Peer == peer })
	if i < 0 {
		return nil
	}
	return e.members[i]
}

func (e *ensemble) add(peer, name string, learner bool) *etcdMember {
	e.next++
	m := &etcdMember{EtcdMember: components.EtcdMember{ID: fmt.Sprint(e.next), Name: name, Peer: peer, Learner: learner}}
	e.members = append(e.members, m)
	return m
}

// serves says that more than half of the voters run.
func (e *ensemble) serves() bool {
	voters, running := 0, 0
	for _, m := range e.members {
		if !m.Learner {
			voters++
			if m.running {
				running++
			}
		}
	}
	return running > voters/2
}

// etcdData is a file that stands for a member's store.
const etcdData = components.State + "/etcd/member/wal"

// identity is the machine's member, as its configuration says.
func (m *Machine) identity() (name, peer string) {
	text := string(m.files[components.Etc+"/etcd.yaml"].content)
	return field(text, "name: "), field(text, "initial-advertise-peer-urls: ")
}

// enter does what the etcd unit does before it serves. It says whether it can.
func (m *Machine) enter() bool {
	e := m.etcd
	e.mu.Lock()
	defer e.mu.Unlock()
	name, peer := m.identity()
	member := e.find(peer)
	if data, has := m.files[etcdData]; has {
		// A store remembers which member it is of; a removed one's is worth nothing.
		if member == nil || member.ID != string(data.content) {
			return false
		}
		member.running = true
		return e.serves()
	}
	text, ok := m.files[etcd.EntryFile]
	if !ok {
		return false
	}
	var entry struct {
		New     bool
		Members map[string]string
	}
	if json.Unmarshal(text.content, &entry) != nil || entry.Members[name] != peer {
		return false
	}
	if entry.New {
		e.members = nil
		member = e.add(peer, name, false)
	}
	if member == nil || member.Name != "" && !entry.New || len(entry.Members) != len(e.members) {
		return false
	}
	member.Name, member.running = name, true
	m.files[etcdData] = file{mode: 0o600, content: []byte(member.ID)}
	return e.serves()
}

// etcdFact is what facts say of the member.
func (m *Machine) etcdFact() components.EtcdFact {
	_, has := m.files[etcdData]
	fact := components.EtcdFact{Data: has}
	u := m.units[path.Base(etcd.Unit)]
	if m.etcd == nil || u == nil || u.active != "active" || !has {
		return fact
	}
	m.etcd.mu.Lock()
	defer m.etcd.mu.Unlock()
	fact.Cluster, fact.Member = "c1", string(m.files[etcdData].content)
	if m.etcd.serves() {
		fact.Leader = "1"
	}
	for _, member := range m.etcd.members {
		fact.Members = append(fact.Members, member.EtcdMember)
	}
	return fact
}

// members is "node etcd-members".
func (m *Machine) members(args []string) (out []byte, code int, why string) {
	fact := m.etcdFact()
	if fact.Leader == "" {
		return nil, 1, "etcd does not serve"
	}
	m.etcd.mu.Lock()
	defer m.etcd.mu.Unlock()
	if args[0] == "list" {
		out, _ = json.Marshal(fact)
		return out, 0, ""
	}
	member := m.etcd.find(args[1])
	switch args[0] {
	case "add":
		if member != nil || slices.ContainsFunc(m.etcd.members, func(m *etcdMember) bool { return m.Learner }) {
			return nil, 1, "is a member already, or another learner is"
		}
		m.etcd.add(args[1], "", true)
	case "promote":
		if member == nil || !member.running {
			return nil, 1, "no member, or not in sync"
		}
		member.Learner = false
	case "remove":
		before := slices.Clone(m.etcd.members)
		m.etcd.members = slices.DeleteFunc(m.etcd.members, func(m *etcdMember) bool { return m.Peer == args[1] })
		if !m.etcd.serves() {
			m.etcd.members = before
			return nil, 1, "no quorum without it"
		}
	default:
		return nil, 64, "unknown verb " + args[0]
	}
	return nil, 0, ""
}

// snapshot is a member's, which ends with the sum of the rest.
func snapshot() []byte {
	content := []byte("what etcd holds")
	sum := sha256.Sum256(content)
	return append(content, sum[:]...)
}

// summed is what the script prints that checks a snapshot.
func summed(content []byte) []byte {
	end := max(0, len(content)-sha256.Size)
	return fmt.Appendf(nil, "%x\n%x", sha256.Sum256(content[:end]), content[end:])
}

// recover is "node etcd-recover".
func (m *Machine) recover(args []string) (out []byte, code int, why string) {
	data, has := m.files[etcdData]
	m.etcd.mu.Lock()
	defer m.etcd.mu.Unlock()
	name, peer := m.identity()
	if args[0] == "look" {
		store := etcd.Store{Cluster: "c1", Member: string(data.content)}
		for _, member := range m.etcd.members {
			store.Members = append(store.Members, etcd.StoreMember{EtcdMember: member.EtcdMember})
		}
		out, _ = json.Marshal(store)
		return out, 0, ""
	}
	if args[0] == "restore" {
		if has {
			return nil, 1, "holds data already"
		}
		m.etcd.members = nil
		m.files[etcdData] = file{mode: 0o600, content: []byte(m.etcd.add(option(args, "--peer"), option(args, "--name"), false).ID)}
		return nil, 0, ""
	}
	if member := m.etcd.find(peer); member != nil && member.running {
		return nil, 1, "etcd still runs"
	}
	if has {
		m.files[components.State+"/etcd/"+args[1]+"/member/wal"] = data
	}
	delete(m.files, etcdData)
	if args[0] == "begin" {
		m.etcd.members = nil
		m.files[etcdData] = file{mode: 0o600, content: []byte(m.etcd.add(peer, name, false).ID)}
	}
	return nil, 0, ""
}

// Wipe makes the machine a blank one, as a new one at the same address is.
func (m *Machine) Wipe() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wipe()
}

func (m *Machine) wipe() {
	m.leave()
	clear(m.files)
	clear(m.units)
	clear(m.loaded)
	clear(m.images)
	clear(m.certs)
}

// leave says that the member does not run any more.
func (m *Machine) leave() {
	if m.etcd == nil {
		return
	}
	m.etcd.mu.Lock()
	defer m.etcd.mu.Unlock()
	if _, peer := m.identity(); m.etcd.find(peer) != nil && strings.HasPrefix(peer, "https://") {
		m.etcd.find(peer).running = false
	}
}
