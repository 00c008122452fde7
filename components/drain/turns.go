package drain

import (
	"context"
	"encoding/json"
	"time"

	"provision/components"
)

// replacedWithin is how long the next pod of a ReplicaSet waits for the one before it
// to be replaced, elsewhere and ready. Where nothing can take its place, as with too few
// machines, waiting longer would help nobody; who cannot do without has a
// PodDisruptionBudget.
const replacedWithin = 30 * time.Second

// turns lets pods of one owner go one after the other: evicted at once, two replicas on
// one machine would both be gone before either is replaced.
type turns struct {
	last map[string]time.Time // by owner: when the last one was let go
}

func newTurns() turns { return turns{map[string]time.Time{}} }

// next are those pods that may be evicted now; those that end already are among them,
// so that they are named. The others have to wait.
func (t turns) next(ctx context.Context, api components.API, pods []pod) (now, later []pod) {
	going := map[string]bool{}
	for _, p := range pods {
		if p.Metadata.DeletionTimestamp != "" {
			now = append(now, p)
			going[p.controller().UID] = true
		}
	}
	for _, p := range pods {
		by := p.controller()
		switch {
		case p.Metadata.DeletionTimestamp != "":
			continue
		case by.UID == "":
			now = append(now, p) // nobody's: there is no other
			continue
		case going[by.UID]:
			later = append(later, p)
			continue
		}
		if at, before := t.last[by.UID]; before && time.Since(at) < replacedWithin && !by.whole(ctx, api, p.Metadata.Namespace) {
			later = append(later, p)
			continue
		}
		going[by.UID] = true
		t.last[by.UID] = time.Now()
		now = append(now, p)
	}
	return now, later
}

// controller is the owner that replaces the pod, or nothing.
func (p pod) controller() owner {
	for _, by := range p.Metadata.OwnerReferences {
		if by.Controller {
			return by
		}
	}
	return owner{}
}

// paths of the kinds that say how many of their pods are ready.
var paths = map[string]string{"ReplicaSet": "replicasets", "StatefulSet": "statefulsets"}

// whole says that as many of the owner's pods are ready as it wants.
func (o owner) whole(ctx context.Context, api components.API, namespace string) bool {
	path, known := paths[o.Kind]
	if !known {
		return true
	}
	text, err := api.Do(ctx, "GET", "/apis/apps/v1/namespaces/"+namespace+"/"+path+"/"+o.Name, "", nil)
	if err != nil {
		return false
	}
	var set struct {
		Spec   struct{ Replicas int }
		Status struct{ ReadyReplicas int }
	}
	return json.Unmarshal(text, &set) == nil && set.Status.ReadyReplicas >= set.Spec.Replicas
}
