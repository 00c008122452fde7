package pki

import (
	"context"
	"encoding/pem"
	"errors"
	"maps"
	"slices"
	"strings"

	"provision/components"
	"provision/components/actions"
)

// An authority's certificate and key sign; what verifies is a file of its own, which
// holds two certificates while one authority follows another. On masters these folders
// say how far that has come:
const (
	NextDir     = components.PKI + "/next"     // authorities that are trusted and do not sign yet
	PreviousDir = components.PKI + "/previous" // those that do not sign any more and are trusted still
	RetiredDir  = components.PKI + "/retired"  // those that are not to be trusted any more
)

// TrustFile is what verifies an authority's certificates, on every machine that has any
// to verify.
func TrustFile(authority string) string { return components.PKI + "/" + authority + "-trust.pem" }

// Sum is the SHA-256 (hex) of the certificate with which a machine's authority signs, ""
// where it has none: certificates name it as theirs.
func Sum(f components.Facts, authority string) string {
	return f.Files[components.PKI+"/"+authority+".crt"].SHA256
}

// PEM is an authority's certificate in PEM, as a machine has it in one of the
// folders ("next", "previous", "" for the one that signs), or "".
func PEM(f components.Facts, folder, authority string) string {
	text := f.Certificates[strings.TrimPrefix(folder+"/"+authority, "/")].PEM
	if block, rest := pem.Decode([]byte(text)); block == nil || block.Type != "CERTIFICATE" || len(rest) > 0 {
		return ""
	}
	return text
}

// Trusted is what machines of a cluster are to trust, as the master says that signs.
func Trusted(signer components.Facts) map[string]components.Trust {
	trust := map[string]components.Trust{}
	for _, authority := range Authorities {
		current, previous := PEM(signer, "", authority), PEM(signer, "previous", authority)
		t := components.Trust{All: Bundle(current, previous, PEM(signer, "next", authority)), Settled: current, Signs: Sum(signer, authority)}
		if previous != "" {
			t.Settled = previous
		}
		trust[authority] = t
	}
	return trust
}

// Bundle is certificates in one text, each once, in an order that does not depend on
// which of them signs.
func Bundle(certificates ...string) string {
	all := slices.DeleteFunc(slices.Sorted(slices.Values(certificates)), func(text string) bool { return text == "" })
	return strings.Join(slices.Compact(all), "")
}

// Trust writes what the machine's processes trust. Those that read it when they start
// are restarted by their own components, which name the file by Reads or, where they
// need to know nobody new before they forget somebody, by Settled.
func Trust(c components.Cluster, m components.MachineSpec, f components.Facts) []components.Action {
	d := actions.NewDraft("pki", f)
	for _, authority := range Authorities {
		if m.Role == components.Master || authority == ClusterCA {
			d.File(TrustFile(authority), 0o644, []byte(c.Trust[authority].All))
		}
	}
	var writes []components.Action
	for _, action := range d.Actions() {
		writes = append(writes, WriteTrust{action.(actions.File)})
	}
	return writes
}

// WriteTrust writes what is trusted. In the plan of a new cluster it is empty, since there
// is no authority yet.
type WriteTrust struct{ actions.File }

// Apply refuses to have anything else trusted than certificates.
func (a WriteTrust) Apply(ctx context.Context, on components.Machine, site components.Site) error {
	rest := a.Content
	for len(rest) > 0 || len(a.Content) == 0 {
		block, after := pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" {
			return errors.New("no master tells its authorities: does `agent certificates list` work there?")
		}
		rest = after
	}
	return a.File.Apply(ctx, on, site)
}

// Reads drafts the files of those authorities for a unit whose process reads them when
// it starts, and returns their paths.
func Reads(d *actions.Draft, c components.Cluster, authorities ...string) []string {
	var paths []string
	for _, authority := range authorities {
		d.Known(TrustFile(authority), []byte(c.Trust[authority].All))
		paths = append(paths, TrustFile(authority))
	}
	return paths
}

// Settled is Reads for a process that only calls the API: while an authority is replaced
// API servers prove to those who know the old one, too, who they are. So it is restarted
// once, when the old one is dropped.
func Settled(d *actions.Draft, c components.Cluster) []string {
	const name = "what verified before " + ClusterCA
	d.Known(name, []byte(c.Trust[ClusterCA].Settled))
	return []string{name}
}

// folderOf says that a machine has anything in one of the folders.
func folderOf(f components.Facts, dir string) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(f.Files)), func(name string) bool { return strings.HasPrefix(name, dir+"/") })
}

// HasNext, HasPrevious and HasRetired say how far a master has come in a change of the
// authorities.
func HasNext(f components.Facts) bool     { return folderOf(f, NextDir) }
func HasPrevious(f components.Facts) bool { return folderOf(f, PreviousDir) }
func HasRetired(f components.Facts) bool  { return folderOf(f, RetiredDir) }

// CompleteNext says that everything is there that MakeNext makes.
func CompleteNext(f components.Facts) bool {
	for _, name := range NextFiles() {
		if _, there := f.Files[NextDir+"/"+name]; !there {
			return false
		}
	}
	return true
}

// Cross leads from the old authority of the cluster to the next: its certificate for the
// next one's key.
const Cross = "cluster-ca-cross"

// NextFiles are the names of the files that make the next authorities.
func NextFiles() []string {
	names := []string{Cross + ".crt"}
	for _, authority := range Authorities {
		names = append(names, authority+".crt", authority+".key")
	}
	return names
}

// KubeletServer is the certificate with which kubelet serves, among a machine's facts. It
// is kubelet's own affair, and in a file of its own.
const (
	KubeletServer     = "kubelet-server"
	KubeletServerFile = "/var/lib/kubelet/pki/kubelet-server-current.pem"
)
