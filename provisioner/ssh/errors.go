package ssh

import (
	"fmt"
	"strings"
)

// HostKeyError is a machine whose host key is not the one that is known, or for
// which none is. It is never retried and never overruled.
type HostKeyError struct {
	Address string
	Shown   string   // the key it showed, as in authorized_keys; "" where it has none of the known type
	Print   string   // its SHA-256 fingerprint
	Known   []string // what was expected and from where; empty: the host is unknown
	Revoked string   // where the shown key is marked as revoked
}

func (e *HostKeyError) Error() string {
	switch {
	case e.Revoked != "":
		return fmt.Sprintf("the host key of %s is revoked (%s): %s", e.Address, e.Revoked, e.Print)
	case len(e.Known) == 0:
		return fmt.Sprintf("the host key of %s is unknown: %s; compare it with what `ssh-keygen -lf` says of "+
			"/etc/ssh/ssh_host_*_key.pub on the machine, then set ssh { host_key = %q }, add it to known_hosts, or let "+
			"ssh { accept_new = true } do so", e.Address, e.Print, e.Shown)
	case e.Shown == "":
		return fmt.Sprintf("the host key of %s has changed: it no longer has one of the type known (%s); %s",
			e.Address, strings.Join(e.Known, ", "), changedAdvice)
	}
	return fmt.Sprintf("the host key of %s has changed: it shows %s, known is %s; %s",
		e.Address, e.Print, strings.Join(e.Known, ", "), changedAdvice)
}

const changedAdvice = "if the machine was reinstalled, replace the known key; if not, somebody may stand between you and it"

// AuthError is a machine that let nobody in. It is never retried: a server that
// counts failures would lock the operator out.
type AuthError struct {
	User, Address string
	Offered       []string // fingerprints with where each key comes from
	Left          int      // keys that were not offered, as servers allow few tries
	Silent        error    // why the agent's keys are not known, where it did not answer
	cause         error
}

func (e *AuthError) Unwrap() error { return e.cause }

func (e *AuthError) Error() string {
	if len(e.Offered) == 0 && e.Silent != nil {
		return fmt.Sprintf("%s lets nobody in without a key, and there is none to offer as %s: %s", e.Address, e.User, e.Silent)
	}
	if len(e.Offered) == 0 {
		return fmt.Sprintf("%s lets nobody in without a key, and there is none to offer as %s: set ssh { key = ... }, or start an agent and add one",
			e.Address, e.User)
	}
	text := fmt.Sprintf("%s does not let %s in with %s: add one of them to the authorized_keys there, or set ssh { key = ... } and ssh { user = ... }",
		e.Address, e.User, strings.Join(e.Offered, ", "))
	if e.Left > 0 {
		text += fmt.Sprintf(" (the agent holds %d more, which were not tried: a server hangs up after a few; name the right one's file, its .pub is enough)", e.Left)
	}
	if e.Silent != nil {
		text += fmt.Sprintf(" (%s)", e.Silent)
	}
	return text
}

// KeyFileError is a key file that cannot be used.
type KeyFileError struct {
	File  string
	cause error
}

func (e *KeyFileError) Error() string { return fmt.Sprintf("key %s: %s", e.File, e.cause) }
func (e *KeyFileError) Unwrap() error { return e.cause }

// LostError is a connection that ended while it was in use.
type LostError struct {
	Address string
	cause   error
}

func (e *LostError) Error() string {
	return fmt.Sprintf("the connection to %s was lost: %s", e.Address, e.cause)
}
func (e *LostError) Unwrap() error { return e.cause }

// ConnectionEnded tells this error from others without their type.
func (e *LostError) ConnectionEnded() {}

// SudoError is a user who may not become root.
type SudoError struct {
	User string
	Said string // sudo's own words
}

func (e *SudoError) Error() string {
	return fmt.Sprintf("%s cannot become root: %q; let sudo do it without a password: echo '%s ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/provision",
		e.User, e.Said, e.User)
}
