//go:build lab

package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	api     = "https://192.168.56.11:6443"
	etcd    = "https://192.168.56.11:2379"
	coreAPI = api + "/api/v1"
	csrs    = api + "/apis/certificates.k8s.io/v1/certificatesigningrequests"
)

// identity is a client with a certificate that was taken from a machine, as
// somebody would who took the machine over. "" for leaf is a client without one.
func (s *secured) identity(t *testing.T, machine, leaf, authority string) *http.Client {
	t.Helper()
	pki := func(name string) []byte { return []byte(s.on(machine, "cat", "/etc/provision/pki/"+name)) }
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM([]byte(s.on("m1", "cat", "/etc/provision/pki/"+authority+".crt")))
	if leaf != "" {
		certificate, err := tls.X509KeyPair(pki(leaf+".crt"), pki(leaf+".key"))
		if err != nil {
			t.Fatal(err)
		}
		// Whatever authorities the server asks for: an attacker shows what there is.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
	}
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: config}}
}

// ask sends one request and returns the status (0: no connection) and the body.
func ask(t *testing.T, client *http.Client, method, url, contentType string, body []byte) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

// try is a request of an identity and what becomes of it.
type try struct {
	want   int
	method string
	url    string
	body   string // a merge patch or an object
	says   string // in the answer
}

func tries(t *testing.T, who string, client *http.Client, all []try) {
	t.Helper()
	for _, try := range all {
		contentType := "application/json"
		if try.method == "PATCH" {
			contentType = "application/merge-patch+json"
		}
		status, text := ask(t, client, try.method, try.url, contentType, []byte(try.body))
		if status != try.want || !strings.Contains(text, try.says) {
			t.Errorf("%s: %s %s %s: %d, want %d %q: %.300s", who, try.method, try.url, try.body, status, try.want, try.says, text)
		}
	}
}

// etcdHoldsCiphertext makes Secrets, with pods that use them, and reads them from
// the store itself.
func (s *secured) etcdHoldsCiphertext(t *testing.T) {
	var manifest strings.Builder
	for name, node := range map[string]string{"here": "w1", "there": "m1"} {
		fmt.Fprintf(&manifest, `---
apiVersion: v1
kind: Secret
metadata: {name: %[1]s, namespace: default}
stringData: {canary: %[2]s}
---
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: default}
spec:
  nodeName: %[3]s
  terminationGracePeriodSeconds: 0
  containers: [{name: probe, image: "%[4]s", args: [serve], volumeMounts: [{name: secret, mountPath: /secret}]}]
  volumes: [{name: secret, secret: {secretName: %[1]s}}]
`, name, s.canary, node, image(t, "probe"))
	}
	s.apply(manifest.String())
	s.kubectl("wait", "--for=condition=Ready", "pod/here", "pod/there", "--timeout=60s")
	if got := s.kubectl("exec", "here", "--", "probe", "cat", "/secret/canary"); !strings.Contains(got, s.canary) {
		t.Errorf("the pod reads %q", got)
	}

	client := s.identity(t, "m1", "apiserver-etcd-client", "etcd-ca")
	read := func(key string) []byte {
		status, text := ask(t, client, "POST", etcd+"/v3/kv/range", "application/json",
			asJSON(t, map[string]string{"key": base64.StdEncoding.EncodeToString([]byte(key))}))
		var answer struct{ Kvs []struct{ Value []byte } }
		if err := json.Unmarshal([]byte(text), &answer); err != nil || status != 200 || len(answer.Kvs) != 1 {
			t.Fatalf("%s: %d %.300s", key, status, text)
		}
		return answer.Kvs[0].Value
	}
	for _, name := range []string{"here", "there"} {
		if value := read("/registry/secrets/default/" + name); !bytes.HasPrefix(value, []byte("k8s:enc:secretbox:v1:key1:")) || bytes.Contains(value, []byte(s.canary)) {
			t.Errorf("%s is stored as %.60q", name, value)
		}
	}
	if value := read("/registry/pods/default/here"); !bytes.HasPrefix(value, []byte("k8s\x00")) {
		t.Errorf("a pod is stored as %.60q: is this the store that is in use?", value)
	}
	// The same in the files, old revisions and the log included.
	if found := s.callWith(time.Minute, s.canary, "bin/lab", "ssh", "m1", "--dir", s.dir, "--", "grep", "-rlF", "-f", "-", "/var/lib/provision/etcd"); found.code != 1 {
		t.Errorf("the Secret is readable in %s", found.all())
	}
	if found := s.on("m1", "sh", "-c", "grep -rlF k8s:enc:secretbox:v1:key1: /var/lib/provision/etcd"); !strings.Contains(found, "/wal/") {
		t.Errorf("no ciphertext in the log: %q", found)
	}
}

func (s *secured) anonymous(t *testing.T) {
	nobody := s.identity(t, "m1", "", "cluster-ca")
	tries(t, "nobody", nobody, []try{
		{401, "GET", api + "/api", "", "Unauthorized"},
		{401, "GET", coreAPI + "/secrets", "", ""},
		{401, "GET", api + "/metrics", "", ""},
		{401, "GET", api + "/version", "", ""},
		{200, "GET", api + "/readyz", "", "ok"},
		{200, "GET", api + "/livez", "", "ok"},
		{401, "GET", "https://192.168.56.21:10250/pods", "", "Unauthorized"},
		{401, "GET", "https://192.168.56.11:10250/metrics", "", "Unauthorized"},
		{401, "POST", "https://192.168.56.21:10250/run/default/here/probe?cmd=id", "", "Unauthorized"},
	})
	// With a certificate, a kubelet asks the API whether it may.
	tries(t, "w1's kubelet", s.identity(t, "w1", "kubelet", "cluster-ca"), []try{
		{403, "GET", "https://192.168.56.11:10250/pods", "", "Forbidden"},
		{403, "GET", "https://192.168.56.11:10250/metrics", "", "Forbidden"},
	})
}

func (s *secured) etcdRefuses(t *testing.T) {
	tries(t, "nobody", s.identity(t, "m1", "", "etcd-ca"), []try{
		{0, "GET", etcd + "/version", "", "certificate required"},
		{0, "GET", "https://192.168.56.11:2380/members", "", "certificate required"},
	})
	tries(t, "a client of the API server", s.identity(t, "m1", "admin", "etcd-ca"), []try{
		{0, "GET", etcd + "/version", "", "unknown certificate authority"},
		{0, "GET", "https://192.168.56.11:2380/members", "", "unknown certificate authority"},
	})
}

func (s *secured) weakEncryption(t *testing.T) {
	cbc := []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA}
	for _, address := range []string{"192.168.56.11:6443", "192.168.56.11:2379", "192.168.56.11:2380", "192.168.56.21:10250"} {
		for _, weak := range []struct {
			newest  uint16
			ciphers []uint16
			refused string
		}{
			{tls.VersionTLS11, nil, "protocol version"},
			{tls.VersionTLS12, cbc, "handshake failure"},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: weak.newest, CipherSuites: weak.ciphers}}
			connection, err := dialer.DialContext(ctx, "tcp", address)
			cancel()
			if err == nil {
				connection.Close()
			}
			if err == nil || !strings.Contains(err.Error(), weak.refused) {
				t.Errorf("%s: want %q, got %v", address, weak.refused, err)
			}
		}
	}
}

func (s *secured) kubeletIdentity(t *testing.T) {
	const annotate = `{"metadata":{"annotations":{"provision.internal/%s":"x"}}}`
	node := func(name, spec string) string {
		return `{"apiVersion":"v1","kind":"Node","metadata":{"name":"` + name + `"},"spec":` + spec + `}`
	}
	nodes := coreAPI + "/nodes"
	tries(t, "w1's kubelet", s.identity(t, "w1", "kubelet", "cluster-ca"), []try{
		{200, "GET", coreAPI + "/namespaces/default/secrets/here", "", base64.StdEncoding.EncodeToString([]byte(s.canary))},
		{403, "GET", coreAPI + "/namespaces/default/secrets/there", "", "no relationship found"},
		{403, "GET", coreAPI + "/secrets", "", "Forbidden"},
		{403, "GET", coreAPI + "/namespaces/default/secrets", "", "Forbidden"},
		{403, "GET", coreAPI + "/namespaces/default/secrets/none", "", "Forbidden"},
		{403, "GET", coreAPI + "/configmaps", "", "Forbidden"},

		{200, "PATCH", nodes + "/w1", fmt.Sprintf(annotate, "test"), ""},
		{403, "PATCH", nodes + "/m1", fmt.Sprintf(annotate, "overlay"), "Forbidden"},
		{403, "PATCH", nodes + "/m1/status", `{"status":{"addresses":[]}}`, "Forbidden"},
		{403, "GET", nodes + "/m1", "", "Forbidden"},
		{403, "DELETE", nodes + "/m1", "", "Forbidden"},
		{403, "DELETE", nodes + "/w1", "", "Forbidden"},
		{403, "POST", nodes, node("w2", "{}"), "is not allowed to modify node"},
		{403, "PATCH", nodes + "/w1", `{"metadata":{"labels":{"node-role.kubernetes.io/control-plane":""}}}`, "is not allowed to modify labels"},
		{403, "PATCH", nodes + "/w1", `{"spec":{"taints":[{"key":"a","effect":"NoSchedule"}]}}`, "is not allowed to modify taints"},

		// Its pod subnet: once set it is the API's to refuse; before that, ours. A dry
		// run of making the Node again shows it without taking the Node away.
		{409, "POST", nodes + "?dryRun=All", node("w1", `{}`), "already exists"},
		{403, "POST", nodes + "?dryRun=All", node("w1", `{"podCIDR":"10.244.9.0/24","podCIDRs":["10.244.9.0/24"]}`), "only the controller manager sets a node's podCIDRs"},
		{422, "PATCH", nodes + "/w1", `{"spec":{"podCIDR":"10.244.9.0/24","podCIDRs":["10.244.9.0/24"]}}`, "Forbidden"},
		{403, "PATCH", nodes + "/m1", `{"spec":{"podCIDR":"10.244.9.0/24","podCIDRs":["10.244.9.0/24"]}}`, "Forbidden"},

		{403, "POST", coreAPI + "/namespaces/kube-system/serviceaccounts/coredns/token", `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}`, "Forbidden"},
		{403, "POST", coreAPI + "/namespaces/default/pods", `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":{"nodeName":"m1","containers":[{"name":"x","image":"x"}]}}`, "Forbidden"},
		{403, "DELETE", coreAPI + "/namespaces/default/pods/there", "", "Forbidden"},
		{403, "POST", api + "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"x"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"}}`, "Forbidden"},
	})
}

// otherIdentities wants the agent's rights to be those on the list, and no more.
func (s *secured) otherIdentities(t *testing.T) {
	agent := s.identity(t, "w1", "agent", "cluster-ca")
	tries(t, "w1's agent", agent, []try{
		{200, "GET", coreAPI + "/nodes", "", "podCIDRs"},
		{200, "GET", api + "/apis/discovery.k8s.io/v1/endpointslices", "", "192.0.0.11"},
		{403, "PATCH", coreAPI + "/nodes/w1", `{"metadata":{"annotations":{"provision.internal/overlay":"x"}}}`, "Forbidden"},
		{403, "PATCH", coreAPI + "/nodes/w1/status", `{"status":{"addresses":[]}}`, "Forbidden"},
		{403, "GET", coreAPI + "/namespaces/default/secrets/here", "", "Forbidden"},
		{403, "GET", coreAPI + "/pods", "", "Forbidden"},
		{403, "POST", csrs, `{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{"name":"x"},"spec":{"signerName":"kubernetes.io/kubelet-serving","request":"eA==","usages":["server auth"]}}`, "Forbidden"},
		{403, "GET", "https://192.168.56.21:10250/pods", "", "Forbidden"},
	})
	tries(t, "w1's proxy", s.identity(t, "w1", "proxy", "cluster-ca"), []try{
		{200, "GET", api + "/apis/discovery.k8s.io/v1/endpointslices", "", ""},
		{403, "GET", coreAPI + "/secrets", "", "Forbidden"},
		{403, "PATCH", coreAPI + "/nodes/w1", `{"metadata":{"annotations":{"a":"x"}}}`, "Forbidden"},
	})
	status, text := ask(t, agent, "POST", api+"/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", "application/json",
		[]byte(`{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectRulesReview","spec":{"namespace":"kube-system"}}`))
	var review struct {
		Status struct {
			ResourceRules []struct{ Verbs, APIGroups, Resources []string }
		}
	}
	if err := json.Unmarshal([]byte(text), &review); err != nil || status != 201 {
		t.Fatalf("%d %s", status, text)
	}
	var got []string
	for _, rule := range review.Status.ResourceRules {
		if slices.Contains([]string{"authorization.k8s.io", "authentication.k8s.io"}, rule.APIGroups[0]) {
			continue // everybody may ask who he is and what he may do
		}
		got = append(got, fmt.Sprint(rule.APIGroups, rule.Resources, rule.Verbs))
	}
	slices.Sort(got)
	if want := []string{"[] [nodes] [get list watch]", "[discovery.k8s.io] [endpointslices] [get list watch]"}; !slices.Equal(got, want) {
		t.Errorf("an agent may %q, want %q", got, want)
	}
}

// servingCertificates asks for certificates with a kubelet's identity.
func (s *secured) servingCertificates(t *testing.T) {
	kubelet := s.identity(t, "w1", "kubelet", "cluster-ca")
	requests := []struct {
		name string
		dns  []string
		ips  []string
	}{
		{"foreign-address", []string{"w1"}, []string{"192.168.56.21", "192.168.56.11"}},
		{"foreign-name", []string{"w1", "m1"}, []string{"192.168.56.21"}},
		{"api-name", []string{"kubernetes.default.svc"}, nil},
		{"right", []string{"w1"}, []string{"192.168.56.21"}}, // last: when it is signed the others were seen
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr := func(name, signer, usage string, template *x509.CertificateRequest) string {
		der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
		if err != nil {
			t.Fatal(err)
		}
		return string(asJSON(t, map[string]any{
			"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": map[string]string{"name": name},
			"spec": map[string]any{"signerName": "kubernetes.io/" + signer, "usages": []string{"digital signature", usage},
				"request": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})},
		}))
	}
	subject := func(name, organization string) pkix.Name {
		return pkix.Name{CommonName: name, Organization: []string{organization}}
	}
	for _, r := range requests {
		template := &x509.CertificateRequest{Subject: subject("system:node:w1", "system:nodes"), DNSNames: r.dns}
		for _, ip := range r.ips {
			template.IPAddresses = append(template.IPAddresses, net.ParseIP(ip))
		}
		tries(t, "w1's kubelet", kubelet, []try{{201, "POST", csrs, csr(r.name, "kubelet-serving", "server auth", template), ""}})
	}
	// Nor may it ask in another machine's name, or to become an administrator; and
	// a client's certificate nobody signs, not even its own.
	tries(t, "w1's kubelet", kubelet, []try{
		{403, "POST", csrs, csr("other", "kubelet-serving", "server auth", &x509.CertificateRequest{Subject: subject("system:node:m1", "system:nodes"), DNSNames: []string{"m1"}}), "can only create a node CSR with CN=system:node:w1"},
		{403, "POST", csrs, csr("masters", "kube-apiserver-client", "client auth", &x509.CertificateRequest{Subject: subject("x", "system:masters")}), "system:masters"},
		{201, "POST", csrs, csr("admins", "kube-apiserver-client", "client auth", &x509.CertificateRequest{Subject: subject("x", "provision:admins")}), ""},
		{201, "POST", csrs, csr("client", "kube-apiserver-client-kubelet", "client auth", &x509.CertificateRequest{Subject: subject("system:node:w1", "system:nodes")}), ""},
	})
	signed := func(name string) string {
		return s.kubectl("get", "csr", name, "-o", "jsonpath={.status.certificate}{.status.conditions[?(@.type=='Approved')].type}")
	}
	eventually(t, "the right request is signed", func() (bool, string) { out := signed("right"); return len(out) > 100, out })
	time.Sleep(3 * time.Second)
	for _, name := range []string{"foreign-address", "foreign-name", "api-name", "admins", "client"} {
		if out := signed(name); out != "" {
			t.Errorf("%s was approved: %.100s", name, out)
		}
	}
	// Nor does somebody's approval make anybody an administrator: the controller
	// manager has the authority's key for kubelets' serving certificates alone.
	s.kubectl("certificate", "approve", "admins", "client")
	time.Sleep(3 * time.Second)
	for _, name := range []string{"admins", "client"} {
		if out := s.kubectl("get", "csr", name, "-o", "jsonpath={.status.certificate}"); out != "" {
			t.Errorf("%s was signed: %.100s", name, out)
		}
	}
}
