// Package nodes is where the agent learns of the other machines, and where it
// announces its own: Kubernetes, or a file that stands in for it.
//
// It passes on what is said. Whether to believe it is left to overlay.Admit.
package nodes

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"provision/overlay"
)

// retry is how long to wait before the API is asked again. A machine that joins
// waits for this, and an API that is down is not hurt by one request per machine
// and second.
const retry = time.Second

// patience is how long the API may take to answer before that is trouble. The
// balancer holds connections while no API server is ready, and client-go asks
// again without a word: an error would be a minute late.
const patience = 3 * time.Second

// Kubernetes follows the cluster's Nodes.
type Kubernetes struct {
	kubeconfig, nodeKubeconfig string
	changed                    chan struct{}
	filled                     atomic.Pointer[store] // nil until all Nodes were listed once
	trouble                    atomic.Pointer[string]
	asked                      atomic.Pointer[time.Time] // when what is still unanswered was asked; nil: nothing is
}

// NewKubernetes returns a source that reads with one identity and announces with
// another, the machine's own. The files need not be there yet.
func NewKubernetes(kubeconfig, nodeKubeconfig string) *Kubernetes {
	return &Kubernetes{kubeconfig: kubeconfig, nodeKubeconfig: nodeKubeconfig, changed: make(chan struct{}, 1)}
}

// Changed tells that Nodes would answer otherwise than before.
func (k *Kubernetes) Changed() <-chan struct{} { return k.changed }

// Nodes returns all Nodes there are; ok is false until they were listed once.
func (k *Kubernetes) Nodes() (nodes []overlay.Node, ok bool) {
	filled := k.filled.Load()
	if filled == nil {
		return nil, false
	}
	for _, object := range filled.List() {
		if n, ok := object.(*corev1.Node); ok {
			nodes = append(nodes, overlay.Node{
				UID:          string(n.UID),
				Name:         n.Name,
				Created:      n.CreationTimestamp.Time,
				PodCIDRs:     n.Spec.PodCIDRs,
				Announcement: n.Annotations[overlay.Annotation],
			})
		}
	}
	return nodes, true
}

// Trouble says why Nodes cannot be read at the moment; "" when they can.
func (k *Kubernetes) Trouble() string {
	if text := k.trouble.Load(); text != nil {
		return *text
	}
	if asked := k.asked.Load(); asked != nil && time.Since(*asked) > patience {
		return unread + "it does not answer"
	}
	return ""
}

// Run follows the Nodes until the context ends.
func (k *Kubernetes) Run(ctx context.Context) {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		client, err := connect(k.kubeconfig)
		if err != nil {
			k.note(ctx, err)
			return
		}
		k.follow(ctx, client)
	}, retry)
}

func (k *Kubernetes) follow(ctx context.Context, client rest.Interface) {
	list := cache.NewListWatchFromClient(client, "nodes", metav1.NamespaceAll, fields.Everything())
	silent := klog.Logger{} // whoever asks for Trouble tells it, once
	reflector := cache.NewReflectorWithOptions(&observed{ListWatch: list, source: k}, &corev1.Node{}, newStore(k), cache.ReflectorOptions{
		Name:            "nodes",
		TypeDescription: "Node",
		Logger:          &silent,
		Backoff:         &wait.Backoff{Duration: retry, Factor: 1, Steps: math.MaxInt, Cap: retry},
	})
	reflector.RunWithContext(klog.NewContext(ctx, silent))
}

func (k *Kubernetes) tell() {
	select {
	case k.changed <- struct{}{}:
	default: // one is waiting to be taken already
	}
}

const unread = "the API cannot be read, the network stays as it is: "

func (k *Kubernetes) ask() {
	now := time.Now()
	k.asked.Store(&now)
}

// note remembers how the API answered last.
func (k *Kubernetes) note(ctx context.Context, err error) {
	k.asked.Store(nil)
	if err == nil {
		k.trouble.Store(nil)
	} else if ctx.Err() == nil {
		text := unread + err.Error()
		k.trouble.Store(&text)
	}
}

// Announce writes the announcement on a machine's own Node.
func (k *Kubernetes) Announce(ctx context.Context, node string, a overlay.Announcement) error {
	client, err := connect(k.nodeKubeconfig)
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{overlay.Annotation: a.Text()}}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return client.Patch(types.MergePatchType).Resource("nodes").Name(node).Body(patch).Do(ctx).Error()
}

// connect returns a client for core/v1 that knows Nodes and nothing else.
func connect(kubeconfig string) (rest.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	version := corev1.SchemeGroupVersion
	scheme.AddKnownTypes(version, &corev1.Node{}, &corev1.NodeList{})
	metav1.AddToGroupVersion(scheme, version)
	config.APIPath, config.GroupVersion = "/api", &version
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	config.UserAgent = "provision-overlay"
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, errors.Join(errors.New(kubeconfig), err)
	}
	return client, nil
}
