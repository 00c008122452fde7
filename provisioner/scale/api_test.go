package scale

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"provision/components"
	"provision/components/actions"
	"provision/components/componentstest"
)

// api is the crowd's API server: componentstest's behind TLS, with the little of
// kubelets and controllers for which a run waits.
type api struct {
	site     *componentstest.Site
	cluster  components.Cluster
	server   *httptest.Server
	identity map[string][]byte // what the master's files hold, by path
}

func newAPI(t testing.TB, site *componentstest.Site, cluster components.Cluster) *api {
	t.Helper()
	a := &api{site: site, cluster: cluster}
	ca, caKey, caPEM, _ := issue(t, nil, nil, "cluster-ca", nil)
	_, serverKey, server, _ := issue(t, ca, caKey, "apiserver", net.IP(cluster.Machines[0].Address.AsSlice()))
	_, _, admin, adminKey := issue(t, ca, caKey, "provision:admin", nil)
	a.identity = map[string][]byte{
		components.PKI + "/cluster-ca-trust.pem": caPEM, components.PKI + "/admin.crt": admin, components.PKI + "/admin.key": adminKey,
	}
	block, _ := pem.Decode(server)
	a.server = httptest.NewUnstartedServer(a)
	a.server.EnableHTTP2 = true
	a.server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{block.Bytes}, PrivateKey: serverKey}}}
	a.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	a.server.StartTLS()
	t.Cleanup(a.server.Close)
	return a
}

func (a *api) dial() (net.Conn, error) { return net.Dial("tcp", a.server.Listener.Addr().String()) }

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	cluster := a.site.Cluster
	body, err := io.ReadAll(r.Body)
	var out []byte
	switch {
	case err != nil:
	case r.URL.Path == "/readyz":
		err = cluster.Ready(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
	case r.Header.Get("Content-Type") == "application/apply-patch+yaml":
		err = cluster.Apply(r.Context(), body)
	default:
		if r.Method == http.MethodGet {
			a.settle(r.Context(), r.URL.Path)
		}
		if len(body) == 0 {
			body = nil
		}
		out, err = cluster.Do(r.Context(), r.Method, r.URL.Path, "", body)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		http.Error(w, err.Error(), http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		w.Write(out)
	}
}

// settle makes ready what a kubelet or a controller would, before it is asked for.
func (a *api) settle(ctx context.Context, path string) {
	const dns = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
	status := map[string]any{}
	switch path {
	case dns:
		status["availableReplicas"] = 1
		a.patch(ctx, dns, status)
	case "/api/v1/nodes":
		status["conditions"] = []any{map[string]any{"type": "Ready", "status": "True"}}
		for _, m := range a.cluster.Machines {
			if slices.Contains(a.site.Machines[m.Name].Running(), actions.Service("kubelet")) {
				a.patch(ctx, path+"/"+m.Name, status)
			}
		}
	}
}

func (a *api) patch(ctx context.Context, path string, status map[string]any) {
	text, err := json.Marshal(map[string]any{"status": status})
	if err == nil && a.site.Cluster.Object(path) != nil {
		a.site.Cluster.Do(ctx, http.MethodPatch, path, "", text)
	}
}

// issue makes a certificate; without a parent, one that signs itself and others.
func issue(t testing.TB, parent *x509.Certificate, parentKey *ecdsa.PrivateKey, name string, address net.IP) (*x509.Certificate, *ecdsa.PrivateKey, []byte, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if address != nil {
		template.IPAddresses = []net.IP{address}
	}
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}
