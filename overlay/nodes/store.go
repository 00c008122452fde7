package nodes

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"provision/overlay"
)

// store keeps Nodes, and tells its source of every change. The reflector calls
// Replace with the full list, and only with a full list.
type store struct {
	cache.Store
	source *Kubernetes
}

func newStore(source *Kubernetes) *store {
	return &store{Store: cache.NewStore(cache.MetaNamespaceKeyFunc, cache.WithTransformer(strip)), source: source}
}

// Add implements cache.ReflectorStore.
func (s *store) Add(object any) error { return s.then(s.Store.Add(object)) }

// Update implements cache.ReflectorStore.
func (s *store) Update(object any) error { return s.then(s.Store.Update(object)) }

// Delete implements cache.ReflectorStore.
func (s *store) Delete(object any) error { return s.then(s.Store.Delete(object)) }

// Replace implements cache.ReflectorStore.
func (s *store) Replace(objects []any, version string) error {
	err := s.Store.Replace(objects, version)
	if err == nil {
		s.source.filled.Store(s)
	}
	return s.then(err)
}

func (s *store) then(err error) error {
	if err == nil {
		s.source.tell()
	}
	return err
}

// strip leaves what Nodes looks at: a Node has its machine's images and
// conditions with it, and they are most of it.
func strip(object any) (any, error) {
	n, ok := object.(*corev1.Node)
	if !ok {
		return object, nil
	}
	lean := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, UID: n.UID, ResourceVersion: n.ResourceVersion, CreationTimestamp: n.CreationTimestamp},
		Spec:       corev1.NodeSpec{PodCIDRs: n.Spec.PodCIDRs},
	}
	if text, ok := n.Annotations[overlay.Annotation]; ok {
		lean.Annotations = map[string]string{overlay.Annotation: text}
	}
	return lean, nil
}

// observed tells its source how the API answers.
type observed struct {
	*cache.ListWatch
	source *Kubernetes
}

// ListWithContext implements cache.ListerWithContext.
func (o *observed) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	o.source.ask()
	list, err := o.ListWatch.ListWithContext(ctx, options)
	o.source.note(ctx, err)
	return list, err
}

// WatchWithContext implements cache.WatcherWithContext.
func (o *observed) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	o.source.ask()
	w, err := o.ListWatch.WatchWithContext(ctx, options)
	o.source.note(ctx, err)
	return w, err
}
