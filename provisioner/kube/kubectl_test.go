package kube

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"k8s.io/klog/v2"
)

// cluster answers what `get nodes`, `apply -f -` and `exec` ask.
func cluster(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch path := r.URL.Path; {
		case path == "/api":
			io.WriteString(w, `{"kind":"APIVersions","versions":["v1"]}`)
		case path == "/apis":
			io.WriteString(w, `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`)
		case path == "/api/v1":
			io.WriteString(w, `{"kind":"APIResourceList","groupVersion":"v1","resources":[
				{"name":"nodes","singularName":"node","namespaced":false,"kind":"Node","verbs":["get","list"]},
				{"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get","list"]},
				{"name":"configmaps","singularName":"configmap","namespaced":true,"kind":"ConfigMap","verbs":["get","patch","create"]}]}`)
		case path == "/api/v1/nodes":
			io.WriteString(w, `{"kind":"NodeList","apiVersion":"v1","metadata":{},"items":[{"kind":"Node","apiVersion":"v1","metadata":{"name":"w1"}}]}`)
		case strings.HasSuffix(path, "/pods/p"):
			io.WriteString(w, `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"default"},"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Running"}}`)
		case strings.HasSuffix(path, "/pods/p/exec"):
			execInPod(t, w, r)
		case strings.HasSuffix(path, "/configmaps/c") && r.Method == http.MethodPatch:
			io.Copy(w, r.Body)
		case path == "/hang":
			<-r.Context().Done()
		default:
			w.WriteHeader(404)
			io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"message":"no such thing"}`)
		}
	}
}

// execInPod is a command that says its arguments and fails with 3.
func execInPod(t *testing.T, w http.ResponseWriter, r *http.Request) {
	w.Header().Del("Content-Type")
	upgrader := websocket.Upgrader{Subprotocols: []string{"v5.channel.k8s.io"}}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	send := func(channel byte, text string) {
		conn.WriteMessage(websocket.BinaryMessage, append([]byte{channel}, text...))
	}
	send(1, fmt.Sprintln(r.URL.Query()["command"]))
	send(2, "oh\n")
	send(3, `{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}`)
	conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	conn.ReadMessage()
}

func kubectl(t *testing.T, client *Client, stdin io.Reader, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	var out, errout bytes.Buffer
	code = Kubectl(t.Context(), client, args, stdin, &out, &errout)
	return code, out.String(), errout.String()
}

func TestKubectlGet(t *testing.T) {
	mine := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(mine, []byte("not a kubeconfig: ["), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", mine) // reading it would fail
	client, _ := connectTo(t, cluster(t))
	code, stdout, stderr := kubectl(t, client, nil, "get", "nodes", "-o", "name")
	if code != 0 || stdout != "node/w1\n" || stderr != "" {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if os.Getenv("KUBECONFIG") != mine {
		t.Error("the environment was not put back")
	}
}

func TestKubectlReturnsExitCodes(t *testing.T) {
	client, _ := connectTo(t, cluster(t))
	for _, test := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"get --raw /nothing", 1, "", "Error from server (NotFound): no such thing"},
		{"exec p -- say it", 3, "[say it]\n", "oh\n"},
		{"config view", 1, "", `unknown command "config"`},
		{"get nodes --nonsense", 1, "", "unknown flag: --nonsense"},
	} {
		code, stdout, stderr := kubectl(t, client, nil, strings.Fields(test.args)...)
		if code != test.code || stdout != test.stdout || !strings.Contains(stderr, test.stderr) {
			t.Errorf("%s: code %d, stdout %q, stderr %q", test.args, code, stdout, stderr)
		}
	}
}

func TestKubectlApplyFromStdin(t *testing.T) {
	client, _ := connectTo(t, cluster(t))
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	io.WriteString(write, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","namespace":"default"}}`)
	write.Close()
	code, stdout, stderr := kubectl(t, client, read, "apply", "--server-side", "--validate=false", "-f", "-")
	if code != 0 || stdout != "configmap/c serverside-applied\n" {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestKubectlEndsWithItsContext(t *testing.T) {
	client, _ := connectTo(t, cluster(t))
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begin := time.Now()
	code := Kubectl(ctx, client, []string{"get", "--raw", "/hang"}, nil, io.Discard, io.Discard)
	if took := time.Since(begin); code != 130 || took > 3*time.Second {
		t.Errorf("code %d after %v", code, took)
	}
}

func TestExec(t *testing.T) {
	client, _ := connectTo(t, cluster(t))
	stdout, stderr, err := client.Exec(t.Context(), "default", "p", []string{"say", "it"})
	status, is := err.(interface{ ExitStatus() int })
	if !is || status.ExitStatus() != 3 || string(stdout) != "[say it]\n" || string(stderr) != "oh\n" {
		t.Errorf("stdout %q, stderr %q, error %v", stdout, stderr, err)
	}
}

// TestExecThatEndsKeepsTheTerminalClean: the error says that time is up, and
// upstream's log nothing beside it.
func TestExecThatEndsKeepsTheTerminalClean(t *testing.T) {
	client, _ := connectTo(t, func(w http.ResponseWriter, r *http.Request) {
		upgrader := websocket.Upgrader{Subprotocols: []string{"v5.channel.k8s.io"}}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		conn.ReadMessage() // says nothing until the other end has had enough
	})
	var log bytes.Buffer
	klog.LogToStderr(false)
	klog.SetOutput(&log)
	defer klog.LogToStderr(true)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, _, err := client.Exec(ctx, "default", "p", []string{"wait"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v", err)
	}
	client.Close()
	time.Sleep(100 * time.Millisecond) // what the streams' ends would say comes late
	klog.Flush()
	klog.SetOutput(io.Discard) // nobody writes to log from here on
	if log.Len() > 0 {
		t.Errorf("upstream's log says %s", &log)
	}
}

func TestTheGateLeadsNowhereElse(t *testing.T) {
	client, m := connectTo(t, http.NotFound)
	config, err := client.rest()
	if err != nil {
		t.Fatal(err)
	}
	proxy, _ := config.Proxy(nil)
	before := m.dials.Load()
	for _, test := range []struct{ target, user, want string }{
		{"10.1.2.3:22", proxy.User.String(), "403"},
		{"10.1.2.3:6443", "provision:guess", "407"},
	} {
		conn, err := net.Dial("tcp", proxy.Host)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\nProxy-Authorization: %s\r\n\r\n", test.target, "Basic "+base64.StdEncoding.EncodeToString([]byte(test.user)))
		answer, _ := io.ReadAll(conn)
		conn.Close()
		if !strings.HasPrefix(string(answer), "HTTP/1.1 "+test.want) {
			t.Errorf("%s: answered %q, want %s", test.target, answer, test.want)
		}
	}
	if m.dials.Load() != before {
		t.Error("something was dialled")
	}
	client.Close()
	if conn, err := net.Dial("tcp", proxy.Host); err == nil {
		conn.Close()
		t.Error("the gate is open after Close")
	}
}
