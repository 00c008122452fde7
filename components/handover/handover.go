// Package handover is how a machine that has the agent or the bundle hands it to
// another, so that the operator's link need not carry it once for each machine:
// what the provisioner tells both of them, as data, and the lines with which the
// one that gives knows the one that takes.
//
// A transfer has a token of its own, which both were told over SSH and which is
// never sent: it answers a challenge. What passes is in clear and is what anybody
// may have; the taker checks it against sums that it has from the operator. Who
// takes from whom is provisioner/fanout's affair, and what the files are for is
// the agent's unpack.
package handover

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"time"
)

// Bounds of one transfer.
const (
	Reach   = 3 * time.Second  // a machine that gives is reached within this, or not at all
	Stall   = 15 * time.Second // nothing comes, or goes, for that long: it is broken
	Longest = 5 * time.Minute  // of one transfer
	Waits   = time.Minute      // an offer that nobody takes ends
)

// Parcel is what is handed over.
type Parcel string

// The parcels.
const (
	Agent  Parcel = "agent"  // the file, as it is
	Bundle Parcel = "bundle" // a bundle's stream
)

// Offer is what a machine is told that is to give: one line of "agent bundle
// serve"'s standard input.
type Offer struct {
	Token string `json:"token"` // NewToken's
	// Without are the SHA-256 (hex) of files of the bundle that the taker has.
	Without []string `json:"without,omitempty"`
}

// Place is where it then listens: the first line of its standard output.
type Place struct {
	Port uint16 `json:"port"`
}

// Source is what a machine is told that is to take; as JSON the standard input of
// "agent unpack --from".
type Source struct {
	At    netip.AddrPort `json:"at"`
	Token string         `json:"token"`
	// Manifest is the bundle's, as the operator has it: nobody else's is believed.
	Manifest []byte `json:"manifest,omitempty"`
	// Have are the SHA-256 (hex) of files that need not come.
	Have []string `json:"have,omitempty"`
}

// Report is what it then prints.
type Report struct {
	Unpacked bool   `json:"unpacked"`
	Problem  string `json:"problem,omitempty"` // why not: the giver's fault, or the way's
	// Have are the SHA-256 (hex) of files that came nevertheless, whole: they need
	// not be sent again.
	Have     []string `json:"have,omitempty"`
	Received int64    `json:"received"` // bytes
}

// Problem is why a machine did not get something from another one, where that is
// the other's fault or the way's.
type Problem string

func (p Problem) Error() string { return string(p) }

var tokenForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Check refuses what no provisioner says.
func (o Offer) Check() error {
	if !tokenForm.MatchString(o.Token) {
		return errors.New("the token is not 32 bytes in hexadecimal")
	}
	return nil
}

// Check refuses what no provisioner says.
func (s Source) Check() error {
	if !s.At.IsValid() || s.At.Port() == 0 {
		return fmt.Errorf("%.60q is no place to take anything from", s.At)
	}
	return Offer{Token: s.Token}.Check()
}
