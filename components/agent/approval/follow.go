package approval

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	resource = "certificatesigningrequests"
	// relist is how long one watch lasts. A request whose approval failed for a
	// passing reason is met again then at the latest.
	relist  = 2 * time.Minute
	oneCall = 10 * time.Second
	// pageSize bounds what a machine that floods the API with requests makes us hold.
	pageSize = 500
	// perSecond bounds the calls: a cluster whose machines start together is not kept
	// waiting, where client-go's 5 would take 20 s for 100 of them.
	perSecond = 50
)

// approver approves what its configuration allows.
type approver struct {
	client rest.Interface
	config config
	log    *slog.Logger
	told   map[types.UID]bool // requests left alone, that were logged
}

// scheme knows the one group that is spoken here.
var scheme = func() *runtime.Scheme {
	scheme := runtime.NewScheme()
	if err := certificatesv1.AddToScheme(scheme); err != nil {
		panic(err) // its types are compiled in
	}
	return scheme
}()

func connect(kubeconfig string) (rest.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.APIPath = "/apis"
	config.GroupVersion = &certificatesv1.SchemeGroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.UserAgent = "provision-certificates"
	config.QPS, config.Burst = perSecond, 2*perSecond
	return rest.RESTClientFor(config)
}

// follow considers every request there is, and then those that come, until the
// watch ends (no error) or fails.
func (a *approver) follow(ctx context.Context) error {
	version, err := a.list(ctx)
	if err != nil {
		return fmt.Errorf("list %s: %w", resource, err)
	}
	seconds := int64(relist / time.Second)
	events, err := a.request(&metav1.ListOptions{Watch: true, ResourceVersion: version, TimeoutSeconds: &seconds}).Watch(ctx)
	if err != nil {
		return fmt.Errorf("watch %s: %w", resource, err)
	}
	defer events.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, open := <-events.ResultChan():
			if !open {
				return nil
			}
			switch object := event.Object.(type) {
			case *certificatesv1.CertificateSigningRequest:
				if event.Type != watch.Deleted {
					a.consider(ctx, object)
				}
			default:
				return fmt.Errorf("watch %s: %w", resource, apierrors.FromObject(event.Object))
			}
		}
	}
}

func (a *approver) list(ctx context.Context) (version string, err error) {
	seen := map[types.UID]bool{}
	for next := ""; ; {
		var page certificatesv1.CertificateSigningRequestList
		calling, cancel := context.WithTimeout(ctx, oneCall)
		err := a.request(&metav1.ListOptions{Limit: pageSize, Continue: next}).Do(calling).Into(&page)
		cancel()
		if err != nil {
			return "", err
		}
		for i := range page.Items {
			a.consider(ctx, &page.Items[i])
			if uid := page.Items[i].UID; a.told[uid] {
				seen[uid] = true
			}
		}
		if next = page.Continue; next == "" {
			a.told = seen // forgets those that are gone
			return page.ResourceVersion, nil
		}
	}
}

// request reads requests of every signer: what is none of ours is passed over.
func (a *approver) request(options *metav1.ListOptions) *rest.Request {
	return a.client.Get().Resource(resource).VersionedParams(options, runtime.NewParameterCodec(scheme))
}

// consider approves a request, or says once why it does not.
func (a *approver) consider(ctx context.Context, csr *certificatesv1.CertificateSigningRequest) {
	if !open(csr) {
		return
	}
	log := a.log.With("request", csr.Name, "user", csr.Spec.Username)
	if csr.Spec.SignerName == RenewalSigner {
		switch err := a.renew(ctx, csr); {
		case err == nil:
			log.Info("renewed")
		case apierrors.IsConflict(err) || apierrors.IsNotFound(err): // another master was first
		case !a.told[csr.UID]:
			log.Warn("not renewed", "why", err)
			a.told[csr.UID] = true
		}
		return
	}
	if err := a.config.decide(csr); err != nil {
		if !a.told[csr.UID] {
			log.Warn("left alone", "why", err)
			a.told[csr.UID] = true
		}
		return
	}
	approved := csr.DeepCopy()
	approved.Status.Conditions = append(approved.Status.Conditions, condition("InInventory", "every name in it is the machine's own"))
	ctx, cancel := context.WithTimeout(ctx, oneCall)
	defer cancel()
	err := a.client.Put().Resource(resource).Name(csr.Name).SubResource("approval").Body(approved).Do(ctx).Error()
	switch {
	case err == nil:
		log.Info("approved")
	case apierrors.IsConflict(err) || apierrors.IsNotFound(err): // another master was first
	default:
		log.Error("approval", "why", err)
	}
}

// condition is the one of a request that is approved.
func condition(reason, message string) certificatesv1.CertificateSigningRequestCondition {
	return certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: reason, Message: message, LastUpdateTime: metav1.Now(),
	}
}
