package lock

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"provision/components"
)

// maxTTL bounds how long a run that died can keep others out.
const maxTTL = time.Hour

// answer is what every verb prints, also when it refuses: the lease as it now
// is, and the highest generation seen where there is none.
type answer struct {
	Owner            string  `json:"owner"`
	Reason           string  `json:"reason"`
	Generation       uint64  `json:"generation"`
	Seen             uint64  `json:"seen"` // the highest generation
	Held             bool    `json:"held"`
	RemainingSeconds float64 `json:"remaining_seconds"`
}

// options are the verbs' flags.
type options struct {
	dir, owner, reason  string
	ttl                 time.Duration
	minimum, generation uint64
	force               bool
}

// NewCommand returns "agent lock" with its verbs.
func NewCommand() *cobra.Command {
	command := &cobra.Command{Use: "lock", Short: "Keep the lease on changing the cluster"}
	o := &options{}
	flags := command.PersistentFlags()
	flags.StringVar(&o.dir, "dir", components.State+"/lock", "folder of the lease")

	acquire := o.verb("acquire", "Take the lease where nobody holds it", func(s state, at clock) (state, error) {
		return s.acquire(o.owner, o.reason, o.ttl, o.minimum, at)
	})
	acquire.Flags().StringVar(&o.owner, "owner", "", "who takes it")
	acquire.Flags().StringVar(&o.reason, "reason", "", "what for")
	acquire.Flags().Uint64Var(&o.minimum, "minimum-generation", 0, "take at least this generation, to exceed those of other masters")
	acquire.MarkFlagRequired("owner")

	renew := o.verb("renew", "Extend the lease", func(s state, at clock) (state, error) {
		return s.renew(o.generation, o.ttl, at)
	})
	release := o.verb("release", "Give the lease back", func(s state, _ clock) (state, error) {
		if o.force {
			return s.release(s.lease.Generation)
		}
		return s.release(o.generation)
	})
	release.Flags().BoolVar(&o.force, "force", false, "whoever holds it")
	show := o.verb("show", "Say who holds the lease", func(s state, _ clock) (state, error) { return s, nil })
	check := o.verb("check", "Remember a generation and refuse an older one", func(s state, _ clock) (state, error) {
		return s.check(o.generation)
	})

	for _, verb := range []*cobra.Command{acquire, renew} {
		verb.Flags().DurationVar(&o.ttl, "ttl", time.Minute, "how long it holds unless renewed")
	}
	for _, verb := range []*cobra.Command{renew, release, check} {
		verb.Flags().Uint64Var(&o.generation, "generation", 0, "the lease's generation")
	}
	renew.MarkFlagRequired("generation")
	check.MarkFlagRequired("generation")
	release.MarkFlagsOneRequired("generation", "force")

	command.AddCommand(acquire, renew, release, show, check)
	return command
}

func (o *options) verb(name, short string, decide func(state, clock) (state, error)) *cobra.Command {
	return &cobra.Command{
		Use:   name,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := o.check(name); err != nil {
				return fmt.Errorf("lock %s: %w", name, err)
			}
			s, at, err := folder(o.dir).update(decide)
			if refused := (*RefusedError)(nil); err == nil || errors.As(err, &refused) {
				err = errors.Join(err, json.NewEncoder(command.OutOrStdout()).Encode(describe(s, at)))
			}
			if err != nil {
				return fmt.Errorf("lock %s: %w", name, err)
			}
			return nil
		},
	}
}

func (o *options) check(verb string) error {
	if (verb == "acquire" || verb == "renew") && (o.ttl <= 0 || o.ttl > maxTTL) {
		return fmt.Errorf("a ttl of %s is not between 0 and %s", o.ttl, maxTTL)
	}
	for _, text := range []string{o.owner, o.reason} {
		if len(text) > 1024 || strings.ContainsFunc(text, unicode.IsControl) {
			return errors.New("owner or reason is longer than 1024 bytes or holds control characters")
		}
	}
	if verb == "acquire" && o.owner == "" {
		return errors.New("nobody is no owner")
	}
	// A generation that cannot be followed by another would lock everyone out.
	if o.minimum > 1<<62 || o.generation > 1<<62 {
		return errors.New("the generation is absurd")
	}
	return nil
}

func describe(s state, at clock) answer {
	left := s.lease.left(at)
	return answer{
		Owner: s.lease.Owner, Reason: s.lease.Reason, Generation: s.lease.Generation,
		Seen: s.generation, Held: left > 0, RemainingSeconds: left.Seconds(),
	}
}
