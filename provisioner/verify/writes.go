package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"provision/components"
)

// perWay is how many objects a client writes in turn: a write that waits until it
// is given up must not be in the next one's way.
const perWay = int(2 * askTimeout / askEvery)

// way is one way to the API, on which a client writes and reads all the time.
type way struct {
	name string // "outside", "inside", "pods", "minority"
	api  components.API
	path string // of the objects that it writes, which are no other's, without their number

	mu    sync.Mutex
	next  int
	acked map[string]bool // keys whose writing was acknowledged

	writes, reads *requests
}

// newWay makes the objects that the client writes.
func newWay(ctx context.Context, namespace, name string, api components.API) (*way, error) {
	collection := "/api/v1/namespaces/" + namespace + "/configmaps"
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i := range perWay {
		group.Go(func() error {
			body := fmt.Sprintf(`{"metadata":{"name":"%s-%d"}}`, name, i)
			_, err := api.Do(ctx, http.MethodPost, collection, "application/json", []byte(body))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("write to the API from %s: %w", name, err)
	}
	return &way{name: name, api: api, path: collection + "/" + name + "-", acked: map[string]bool{}}, nil
}

// begin starts both clients.
func (w *way) begin(ctx context.Context) {
	w.writes = ask(ctx, func(ctx context.Context) (string, error) { return "api", w.write(ctx) })
	w.reads = ask(ctx, func(ctx context.Context) (string, error) {
		_, err := w.api.Do(ctx, http.MethodGet, w.path+"0", "", nil)
		return "api", err
	})
}

func (w *way) finish() {
	if w.writes != nil {
		w.writes.finish()
		w.reads.finish()
	}
}

// write adds one key to an object: every write that was acknowledged can be
// told from every other, and looked for afterwards.
func (w *way) write(ctx context.Context) error {
	w.mu.Lock()
	w.next++
	key, path := fmt.Sprintf("k%d", w.next), w.path+strconv.Itoa(w.next%perWay)
	w.mu.Unlock()
	if _, err := w.api.Do(ctx, http.MethodPatch, path, "application/merge-patch+json", fmt.Appendf(nil, `{"data":{%q:""}}`, key)); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked[key] = true
	return nil
}

// lost counts the writes that were acknowledged and are not there. api is a
// client that answers.
func (w *way) lost(ctx context.Context, api components.API) (int, error) {
	there := map[string]bool{}
	for i := range perWay {
		var object struct{ Data map[string]string }
		data, err := api.Do(ctx, http.MethodGet, w.path+strconv.Itoa(i), "", nil)
		if err == nil {
			err = json.Unmarshal(data, &object)
		}
		if err != nil {
			return 0, err
		}
		for key := range object.Data {
			there[key] = true
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	lost := 0
	for key := range w.acked {
		if !there[key] {
			lost++
		}
	}
	return lost, nil
}

// steady says that both clients have their answers.
func (w *way) steady(over time.Duration) bool {
	return w.writes.steady(over) && w.reads.steady(over)
}
