package overlay

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
)

// Annotation is the key under which a machine announces itself on its Node.
const Annotation = "provision.internal/overlay"

// announcementVersion is raised when older agents would misread a newer one.
const announcementVersion = 1

// maxAnnouncement bounds what a machine may make the others parse, in bytes.
const maxAnnouncement = 4096

// Node is what the API, or a static file, says of one machine.
type Node struct {
	UID     string    `json:"uid"`
	Name    string    `json:"name"`
	Created time.Time `json:"created,omitzero"`
	// PodCIDRs come from the controller manager, which alone may write them.
	PodCIDRs []string `json:"pod_cidrs"`
	// Announcement is the text of the annotation: written by the machine itself
	// and to be believed as little as possible. Empty until it has one.
	Announcement string `json:"announcement,omitempty"`
}

// Announcement is what a machine says of itself. Which pods it may speak for is
// not its to say.
type Announcement struct {
	Version   int `json:"version"`
	PublicKey Key `json:"public_key"`
	// NextKey is what PublicKey will be soon: the others take it in beside this
	// one, so that nobody is cut when it takes over. Zero: there is none.
	NextKey  Key            `json:"next_public_key,omitzero"`
	Endpoint netip.AddrPort `json:"endpoint"`
	Mode     Mode           `json:"mode"` // for people; nothing depends on it
}

// Announce returns what the machine should say of itself.
func Announce(c Config, key, next Key, mode Mode) Announcement {
	endpoint := c.Endpoint
	if !endpoint.IsValid() {
		endpoint = netip.AddrPortFrom(c.Address, uint16(c.Port))
	}
	return Announcement{Version: announcementVersion, PublicKey: key, NextKey: next, Endpoint: endpoint, Mode: mode}
}

// Text returns the annotation's value.
func (a Announcement) Text() string {
	text, err := json.Marshal(a)
	if err != nil { // its fields are plain values, all of which can be written
		panic(err)
	}
	return string(text)
}

// parseAnnouncement reads what another machine wrote. Fields it does not know
// are skipped: a newer agent may say more.
func parseAnnouncement(text string) (Announcement, error) {
	var a Announcement
	if len(text) > maxAnnouncement {
		return a, fmt.Errorf("its announcement is %d bytes long, more than %d", len(text), maxAnnouncement)
	}
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return a, fmt.Errorf("its announcement cannot be read: %w", err)
	}
	if a.Version != announcementVersion {
		return a, fmt.Errorf("its announcement has version %d, this agent reads %d", a.Version, announcementVersion)
	}
	if a.PublicKey == (Key{}) {
		return a, fmt.Errorf("its announcement has no public_key")
	}
	if a.NextKey == a.PublicKey {
		return a, fmt.Errorf("its next_public_key is the present one")
	}
	addr := a.Endpoint.Addr()
	if a.Endpoint.Port() == 0 || !addr.IsValid() || addr.IsUnspecified() || addr.IsLoopback() || addr.IsMulticast() || addr.Zone() != "" {
		return a, fmt.Errorf("its endpoint %v is no address that a peer can have", a.Endpoint)
	}
	return a, nil
}
