//go:build lab

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"provision/overlay"
)

// TestMain also is the main of what these tests run inside the machines: the test
// binary itself, which is copied there.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "inside" {
		if err := inside(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, os.Args[2]+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func inside(name string, args []string) error {
	commands := map[string]struct {
		arguments int
		run       func([]string) error
	}{
		"answer": {1, func(a []string) error { return answer(a[0]) }},
		"speak":  {3, func(a []string) error { return speakTo(a[0], a[1], a[2]) }},
		"call":   {1, func(a []string) error { return callOnce(a[0]) }},
		"sniff":  {2, func(a []string) error { return sniffClear(a[0], a[1]) }},
		"keys":   {0, func([]string) error { return printKeys() }},
		"peers":  {2, func(a []string) error { return followPeers(a[0], a[1]) }},
		"nodes":  {3, func(a []string) error { return followNodes(a[0], a[1], a[2]) }},
		"delete": {2, func(a []string) error { return deleteNode(a[0], a[1]) }},
	}
	c, known := commands[name]
	if !known || len(args) != c.arguments {
		return errors.New("no such command")
	}
	return c.run(args)
}

// callOnce wants one datagram back, within a fifth of a second.
func callOnce(address string) error {
	c, err := net.Dial("udp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(200 * time.Millisecond))
	if _, err := c.Write(make([]byte, 8)); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 64))
	return err
}

// deviceKeys are the public keys of the peers that wg0 has, sorted.
func deviceKeys(client *wgctrl.Client) ([]string, error) {
	d, err := client.Device(overlay.Tunnel)
	if err != nil {
		return nil, err
	}
	keys := map[string]bool{}
	for _, p := range d.Peers {
		keys[p.PublicKey.String()] = true
	}
	return slices.Sorted(maps.Keys(keys)), nil
}

func printKeys() error {
	client, err := wgctrl.New()
	if err != nil {
		return err
	}
	defer client.Close()
	keys, err := deviceKeys(client)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(keys)
}

// change is one line of those who follow something: when, and what then was.
type change struct {
	At   int64  // nanoseconds of the clock that all machines of the lab share
	Said string // of peers: "with" or "without" one; of Nodes: "gone", "made", "subnet" or "announced"
}

// followPeers prints when wg0 gets or loses the peer of that key, until a file says
// that it is enough. It looks each 3 ms.
func followPeers(key, enough string) error {
	client, err := wgctrl.New()
	if err != nil {
		return err
	}
	defer client.Close()
	for last := ""; !isThere(enough); time.Sleep(3 * time.Millisecond) {
		keys, err := deviceKeys(client)
		if err != nil {
			return err
		}
		now := "without"
		if slices.Contains(keys, key) {
			now = "with"
		}
		if now != last {
			if err := json.NewEncoder(os.Stdout).Encode(change{time.Now().UnixNano(), now}); err != nil {
				return err
			}
			last = now
		}
	}
	return nil
}

func nodesClient(kubeconfig string) (rest.Interface, error) {
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
	return rest.RESTClientFor(config)
}

// followNodes prints how far a Node is, each time it gets further, until a file
// says that it is enough.
func followNodes(kubeconfig, name, enough string) error {
	client, err := nodesClient(kubeconfig)
	if err != nil {
		return err
	}
	options := metav1.ListOptions{Watch: true, FieldSelector: "metadata.name=" + name}
	w, err := client.Get().Resource("nodes").SpecificallyVersionedParams(&options, runtime.NewParameterCodec(newScheme()), corev1.SchemeGroupVersion).Watch(context.Background())
	if err != nil {
		return err
	}
	go func() {
		for !isThere(enough) {
			time.Sleep(100 * time.Millisecond)
		}
		w.Stop()
	}()
	last := ""
	for event := range w.ResultChan() {
		node, ok := event.Object.(*corev1.Node)
		if !ok {
			return fmt.Errorf("%v", event.Object)
		}
		now := "made"
		switch {
		case event.Type == "DELETED":
			now = "gone"
		case len(node.Spec.PodCIDRs) > 0 && node.Annotations[overlay.Annotation] != "":
			now = "announced"
		case len(node.Spec.PodCIDRs) > 0:
			now = "subnet"
		}
		if now != last {
			if err := json.NewEncoder(os.Stdout).Encode(change{time.Now().UnixNano(), now}); err != nil {
				return err
			}
			last = now
		}
	}
	return nil
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)
	return scheme
}

// deleteNode prints when it asked for it.
func deleteNode(kubeconfig, name string) error {
	client, err := nodesClient(kubeconfig)
	if err != nil {
		return err
	}
	if err := client.Get().Resource("nodes").Name(name).Do(context.Background()).Error(); err != nil {
		return err // the connection is made, and it is there
	}
	start := time.Now()
	if err := client.Delete().Resource("nodes").Name(name).Do(context.Background()).Error(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(change{start.UnixNano(), "asked"})
}
