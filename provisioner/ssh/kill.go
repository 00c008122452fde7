package ssh

import (
	"context"
	"crypto/rand"
	"time"

	"golang.org/x/crypto/ssh"
)

// mark is a variable in a command's environment by which it is found again,
// with everything that it started. sshd passes no signals on to what root runs
// ("session signalling requires privilege separation"), nor could it to what
// runs by sudo; and closing a session ends only what reads or writes.
type mark string

func newMark() mark { return mark("PROVISION_RUN=" + rand.Text()) }

func (m mark) wrap(argv []string) []string {
	return append([]string{"env", string(m)}, argv...)
}

// killScript looks into every process's environment, which holds what that
// process began with. Its own does not hold the mark.
// It fails where there is nothing to kill.
const killScript = `set -- "$2" $(grep -lzsxF -e "$1" /proc/[0-9]*/environ)
[ $# -gt 1 ] || exit 1
signal=$1
shift
for f; do
p=${f#/proc/}
kill -s "$signal" "${p%/environ}"
done
exit 0`

// killTimeout bounds the search: a machine that is that slow is left alone.
const killTimeout = 5 * time.Second

// kill sends a signal to what runs in a session, as well as that can be done.
// A command that is about to start has no mark yet: it is looked for again
// until ended says that it is over, or for killAfter.
func (c *Client) kill(session *ssh.Session, m mark, signal ssh.Signal, ended <-chan struct{}) {
	if m == "" {
		session.Signal(signal)
		return
	}
	for began := time.Now(); !c.killMarked(m, signal) && time.Since(began) < killAfter; {
		select {
		case <-ended:
			return
		case <-time.After(firstPause):
		}
	}
}

func (c *Client) killMarked(m mark, signal ssh.Signal) (found bool) {
	c.killing.Lock()
	defer c.killing.Unlock()
	ctx, cancel := context.WithTimeout(c.ctx, killTimeout)
	defer cancel()
	line, err := quote([]string{"sh", "-c", killScript, "sh", string(m), string(signal)})
	if err != nil {
		return false
	}
	killer, err := c.openSession(ctx)
	if err != nil {
		return false
	}
	defer killer.Close()
	stop := context.AfterFunc(ctx, func() { killer.Close() })
	defer stop()
	return killer.Run(c.rootLine(line)) == nil
}
