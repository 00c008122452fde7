package addons

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"provision/components"
)

// Republish has the API servers say anew whose requests extension servers (metrics, and
// users' own) are to believe: to what they said once they only add, so that an authority
// which was replaced would be believed there until it ends.
type Republish struct{}

// authenticationMap is where API servers publish that.
const authenticationMap = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"

// republished bounds the wait for it: an API server sees the deletion at once, and looks
// each minute.
const republished = 90 * time.Second

// Component is "addons".
func (Republish) Component() string { return "addons" }

func (Republish) String() string { return "publish anew whom extension servers are to believe" }

// Touches is empty: nothing of it is on the machine.
func (Republish) Touches() []components.Touch { return nil }

// Apply deletes it and waits until it is there again.
func (Republish) Apply(ctx context.Context, _ components.Machine, site components.Site) error {
	ctx, cancel := context.WithTimeout(ctx, republished)
	defer cancel()
	api, err := site.API(ctx)
	if err != nil {
		return err
	}
	if _, err := api.Do(ctx, "DELETE", authenticationMap, "", nil); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for {
		_, err := api.Do(ctx, "GET", authenticationMap, "", nil)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("extension-apiserver-authentication does not come back: %w", err)
		case <-time.After(time.Second):
		}
	}
}
