package addons

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"provision/components"
)

// healthyWithin bounds the wait for an addon: its images may have to be pulled.
const healthyWithin = 5 * time.Minute

// health is what says of an object whether it does what it is for.
type health struct {
	Metadata struct {
		Generation int64 `json:"generation"`
	} `json:"metadata"`
	Spec struct {
		Replicas *int `json:"replicas"`
	} `json:"spec"`
	Status struct {
		ObservedGeneration     int64  `json:"observedGeneration"`
		UpdatedReplicas        int    `json:"updatedReplicas"`
		AvailableReplicas      int    `json:"availableReplicas"`
		ReadyReplicas          int    `json:"readyReplicas"`
		DesiredNumberScheduled int    `json:"desiredNumberScheduled"`
		UpdatedNumberScheduled int    `json:"updatedNumberScheduled"`
		NumberAvailable        int    `json:"numberAvailable"`
		Phase                  string `json:"phase"`
		Conditions             []struct{ Type, Status, Reason, Message string }
	} `json:"status"`
}

// errFailed is of an object that will not become healthy by itself.
var errFailed = errors.New("failed")

// awaitHealth waits until every object is healthy, as far as its kind tells.
func awaitHealth(ctx context.Context, api components.API, objects []components.Object) error {
	ctx, cancel := context.WithTimeout(ctx, healthyWithin)
	defer cancel()
	for _, o := range objects {
		if watched[o.Kind] == nil {
			continue
		}
		var last error // what was wrong, not that time was up
		for {
			why, err := look(ctx, api, o)
			if err == nil && why == "" {
				break
			}
			switch {
			case errors.Is(err, errFailed):
				return err
			case err == nil:
				last = fmt.Errorf("%s is not healthy after %s: %s (kubectl describe says more)", o, healthyWithin, why)
			case ctx.Err() == nil || last == nil:
				last = fmt.Errorf("%s: %w", o, err)
			}
			select {
			case <-ctx.Done():
				return last
			case <-time.After(200 * time.Millisecond):
			}
		}
	}
	return nil
}

// look says why an object is not healthy yet, or nothing.
func look(ctx context.Context, api components.API, o components.Object) (string, error) {
	path, err := api.Path(ctx, o)
	if err != nil {
		return "", err
	}
	text, err := api.Do(ctx, "GET", path, "", nil)
	if errors.Is(err, fs.ErrNotExist) {
		return "it is not there", nil
	}
	if err != nil {
		return "", err
	}
	var h health
	if err := json.Unmarshal(text, &h); err != nil {
		return "", err
	}
	if o.Kind == "Job" && h.condition("Failed") {
		return "", fmt.Errorf("%s %w: %s", o, errFailed, h.why("Failed"))
	}
	return watched[o.Kind](h), nil
}

// watched says of the kinds that tell it why an object is not healthy, or nothing.
var watched = map[string]func(h health) string{
	"Deployment": func(h health) string {
		wanted := h.replicas()
		return h.rollout(h.Status.UpdatedReplicas >= wanted && h.Status.AvailableReplicas >= wanted,
			"%d of %d replicas are available", h.Status.AvailableReplicas, wanted)
	},
	"StatefulSet": func(h health) string {
		wanted := h.replicas()
		return h.rollout(h.Status.ReadyReplicas >= wanted, "%d of %d replicas are ready", h.Status.ReadyReplicas, wanted)
	},
	"DaemonSet": func(h health) string {
		wanted := h.Status.DesiredNumberScheduled
		return h.rollout(h.Status.UpdatedNumberScheduled >= wanted && h.Status.NumberAvailable >= wanted,
			"%d of %d pods are available", h.Status.NumberAvailable, wanted)
	},
	"Job": func(h health) string { return h.wants("Complete") },
	"Pod": func(h health) string {
		if h.Status.Phase == "Succeeded" {
			return ""
		}
		return h.wants("Ready")
	},
	"CustomResourceDefinition": func(h health) string { return h.wants("Established") },
	"APIService":               func(h health) string { return h.wants("Available") },
}

func (h health) replicas() int {
	if h.Spec.Replicas == nil {
		return 1
	}
	return *h.Spec.Replicas
}

func (h health) rollout(done bool, format string, args ...any) string {
	switch {
	case h.Status.ObservedGeneration < h.Metadata.Generation:
		return "no controller has looked at it"
	case done:
		return ""
	}
	return fmt.Sprintf(format, args...)
}

func (h health) wants(condition string) string {
	if h.condition(condition) {
		return ""
	}
	if why := h.why(condition); why != "" {
		return "it is not " + condition + ": " + why
	}
	return "it is not " + condition
}

func (h health) condition(name string) bool {
	for _, c := range h.Status.Conditions {
		if c.Type == name {
			return c.Status == "True"
		}
	}
	return false
}

// why is what a condition says of itself.
func (h health) why(name string) string {
	for _, c := range h.Status.Conditions {
		if c.Type == name {
			return c.Message
		}
	}
	return ""
}
