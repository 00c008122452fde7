package verify

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// configMap makes, changes and shows one.
func (w *world) configMap(method, path string, body []byte) ([]byte, error) {
	if w.leader != "" && w.off[w.leader] {
		return nil, errors.New("etcd has no leader")
	}
	if method == http.MethodPost {
		var object struct{ Metadata struct{ Name string } }
		err := json.Unmarshal(body, &object)
		w.objects[path+"/"+object.Metadata.Name] = map[string]bool{}
		return nil, err
	}
	keys := w.objects[path]
	if keys == nil {
		return nil, fmt.Errorf("%s: not in this world", path)
	}
	var object struct{ Data map[string]string }
	if method == http.MethodPatch {
		err := json.Unmarshal(body, &object)
		for key := range object.Data {
			keys[key] = !w.forgets
		}
		return nil, err
	}
	object.Data = map[string]string{}
	for key, there := range keys {
		if there {
			object.Data[key] = ""
		}
	}
	return json.Marshal(map[string]any{"data": object.Data})
}

// dialEtcd answers as a member's metrics do.
func (w *world) dialEtcd(ctx context.Context, node string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.off[node] {
		return nil, errSilence
	}
	bit := map[bool]int{true: 1}
	text := fmt.Sprintf("# HELP etcd_server_is_leader 1\netcd_server_has_leader %d\netcd_server_is_leader %d\n",
		bit[w.leader != "" && !w.off[w.leader]], bit[w.leader == node])
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		if _, err := http.ReadRequest(bufio.NewReader(far)); err == nil {
			fmt.Fprintf(far, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(text), text)
		}
	}()
	return near, nil
}

// systemd gives the machines one that arms timers and starts what it is told to:
// a script that names a table cuts a machine off, or lets it in again. A machine
// that is cut off answers nobody.
func (w *world) systemd(o *DrillOptions) *plug {
	power := &plug{w: w}
	for i, m := range o.Machines {
		o.Machines[i].Run = func(ctx context.Context, argv []string, _ io.Reader) ([]byte, error) {
			w.mu.Lock()
			off := w.off[m.Name]
			w.mu.Unlock()
			if off {
				<-ctx.Done()
				return nil, context.Cause(ctx)
			}
			line := strings.Join(argv, " ")
			var after time.Duration
			if _, rest, timed := strings.Cut(line, "--on-active="); timed {
				var seconds float64
				fmt.Sscanf(rest, "%g", &seconds)
				after = time.Duration(seconds * float64(time.Second))
			}
			does := ""
			switch {
			case strings.Contains(line, "command -v nft"):
				return []byte("/opt/provision/1/nft/nft\n"), nil
			case strings.Contains(line, "delete table inet provision-drill ||") && after > 0:
				does = "arm"
				time.AfterFunc(after, func() { power.On(ctx, m.Name) })
			case slices.Contains(argv, "--unit=provision-drill"):
				does = "cut"
				power.Off(ctx, m.Name)
			case strings.Contains(line, "systemctl list-units"):
				does = "look"
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.ran = append(w.ran, does+" "+m.Name)
			return nil, nil
		}
	}
	return power
}
