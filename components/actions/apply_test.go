package actions

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"provision/components"
	"provision/components/handover"
)

// fake is a machine and a site that only remember; componentstest behaves, and
// imports this package.
type fake struct {
	ran    []string
	wrote  map[string]fs.FileMode
	run    func(argv []string, stdin io.Reader) error
	says   func(argv []string) string // on stdout
	file   []byte
	bundle func(w io.Writer) error
	api    func() error
}

func (f *fake) Name() string { return "w1" }

func (f *fake) Run(_ context.Context, argv []string, stdin io.Reader) ([]byte, error) {
	f.ran = append(f.ran, strings.Join(argv, " "))
	if f.run != nil {
		return nil, f.run(argv, stdin)
	}
	if f.says != nil {
		return []byte(f.says(argv)), nil
	}
	return nil, nil
}

func (f *fake) ReadFile(context.Context, string) ([]byte, error) { return nil, fs.ErrNotExist }

func (f *fake) WriteFile(_ context.Context, name string, mode fs.FileMode, _ []byte) error {
	if f.wrote == nil {
		f.wrote = map[string]fs.FileMode{}
	}
	f.wrote[name] = mode
	return nil
}

func (f *fake) Machine(string) (components.Machine, error) { return f, nil }

func (f *fake) Bundle(_ context.Context, w io.Writer, _ map[string]bool) error { return f.bundle(w) }

func (f *fake) Turn(context.Context, handover.Parcel, string, map[string]bool) (components.Turn, error) {
	return components.Turn{Done: func(error) {}}, nil
}

func (f *fake) BundleFile(string) ([]byte, error) { return f.file, nil }

func (f *fake) API(context.Context) (components.API, error) { return f, f.api() }

func (f *fake) APIOf(context.Context, string) (components.API, error) { return f, f.api() }

func (f *fake) Ready(context.Context) error { return nil }

func (f *fake) Apply(context.Context, []byte) error                     { return nil }
func (f *fake) ApplyAs(context.Context, string, string, []byte) error   { return nil }
func (f *fake) Open(string) (io.ReadCloser, error)                      { return nil, nil }
func (f *fake) Path(context.Context, components.Object) (string, error) { return "", nil }

func (f *fake) Do(context.Context, string, string, string, []byte) ([]byte, error) { return nil, nil }

func TestUnitsInOrder(t *testing.T) {
	for _, c := range []struct {
		action Units
		want   []string
	}{
		{Units{Enable: []string{"a"}, Start: []string{"a"}, Restart: []string{"b"}},
			[]string{"systemctl enable --quiet a", "systemctl start --no-block a", "systemctl restart --no-block b", "systemctl show --property=Id,ActiveState,Job b"}},
		// What depends on others comes later in the list, and is to stop first.
		{Units{Restart: []string{"etcd", "apiserver"}}, []string{"systemctl daemon-reload", "systemctl restart --no-block apiserver etcd",
			"systemctl show --property=Id,ActiveState,Job etcd apiserver"}},
		{Units{Restart: []string{"b"}, Wait: true}, []string{"systemctl daemon-reload", "systemctl restart b"}},
	} {
		on := &fake{}
		if err := c.action.Apply(t.Context(), on, on); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(on.ran, c.want) {
			t.Errorf("%s: ran %q, want %q", c.action, on.ran, c.want)
		}
	}
}

// A process that is about to stop is not taken for the one that comes after it.
func TestARestartWaitsForTheEndOfTheOld(t *testing.T) {
	const etcd = "Id=etcd.service\nActiveState=active\n\n"
	for name, test := range map[string]struct {
		shows []string // one after the other, the last for ever
		asked int
		fails string
	}{
		"it ends":           {[]string{etcd + "Id=a.service\nActiveState=active\nJob=7\n", etcd + "Id=a.service\nActiveState=deactivating\nJob=7\n", etcd + "Id=a.service\nActiveState=activating\nJob=8\n"}, 3, ""},
		"it is done":        {[]string{etcd + "Id=a.service\nActiveState=active\nJob=\n"}, 1, ""},
		"it does not start": {[]string{etcd + "Id=a.service\nActiveState=inactive\nJob=7\n"}, 1, ""},
		"it never ends":     {[]string{etcd + "Id=a.service\nActiveState=deactivating\nJob=7\n"}, 600, "a did not end within 1m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				on := &fake{says: func(argv []string) string {
					if argv[1] != "show" {
						return ""
					}
					asked++
					return test.shows[min(asked, len(test.shows))-1]
				}}
				err := Units{Restart: []string{"etcd.service", "a.service"}}.Apply(t.Context(), on, on)
				if asked < test.asked || asked > test.asked+1 {
					t.Errorf("asked %d times, want %d", asked, test.asked)
				}
				if (err != nil) != (test.fails != "") || err != nil && !strings.Contains(err.Error(), test.fails) {
					t.Errorf("error %v, want %q", err, test.fails)
				}
			})
		})
	}
}

func TestModulesMayBeBuiltIn(t *testing.T) {
	no := &components.ExitError{Code: 1}
	on := &fake{run: func([]string, io.Reader) error { return no }}
	if err := (Modules{Names: []string{"tun", "overlay"}}).Apply(t.Context(), on, on); err != nil || len(on.ran) != 2 {
		t.Errorf("%v, ran %q", err, on.ran)
	}
	gone := errors.New("the connection is gone")
	on.run = func([]string, io.Reader) error { return gone }
	if err := (Modules{Names: []string{"tun"}}).Apply(t.Context(), on, on); !errors.Is(err, gone) {
		t.Errorf("a lost connection is %v", err)
	}
}

func TestAgentIsTheOneThatWasPlanned(t *testing.T) {
	on := &fake{file: []byte("agent")}
	action := UploadAgent{Path: "/opt/provision/agent-1/agent", Sum: components.Sum([]byte("agent"))}
	if err := action.Apply(t.Context(), on, on); err != nil || on.wrote[action.Path] != 0o755 {
		t.Errorf("%v, wrote %v", err, on.wrote)
	}
	on = &fake{file: []byte("something else")}
	if err := action.Apply(t.Context(), on, on); err == nil || len(on.wrote) > 0 {
		t.Errorf("another agent was sent: %v", err)
	}
}

func TestUnpack(t *testing.T) {
	var received string
	read := func(_ []string, stdin io.Reader) error {
		text, err := io.ReadAll(stdin)
		received = string(text)
		return err
	}
	send := func(w io.Writer) error { _, err := io.WriteString(w, "bundle"); return err }
	broken := errors.New("the file is damaged")
	full := &components.ExitError{Argv: []string{"agent"}, Code: 1, Stderr: []byte("no space left\n")}
	for _, c := range []struct {
		name string
		on   *fake
		want error
	}{
		{"well", &fake{run: read, bundle: send}, nil},
		{"damaged at home", &fake{run: func(_ []string, stdin io.Reader) error { io.ReadAll(stdin); return full }, bundle: func(io.Writer) error { return broken }}, broken},
		// Nobody reads on: the sender must not hang.
		{"full", &fake{run: func([]string, io.Reader) error { return full }, bundle: send}, full},
	} {
		t.Run(c.name, func(t *testing.T) {
			received = ""
			err := Unpack{ID: "1.36.3-aa", Agent: "/agent"}.Apply(t.Context(), c.on, c.on)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if c.want == nil && (received != "bundle" || c.on.ran[0] != "/agent unpack --root /opt/provision --id 1.36.3-aa") {
				t.Errorf("ran %q with %q", c.on.ran, received)
			}
		})
	}
}

func TestWaitAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		refused := errors.New("connection refused")
		on := &fake{api: func() error {
			if time.Since(start) < 3*time.Second {
				return refused
			}
			return nil
		}}
		if err := (WaitAPI{Timeout: time.Minute}).Apply(t.Context(), on, on); err != nil || time.Since(start) > 3*time.Second+pollEvery {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		on.api = func() error { return refused }
		if err := (WaitAPI{Timeout: time.Minute}).Apply(t.Context(), on, on); !errors.Is(err, refused) {
			t.Errorf("what was wrong is lost: %v", err)
		}
	})
}

// answering is a machine whose commands a function answers.
type answering struct {
	components.Machine
	answer func(argv []string) (string, error)
}

func (a answering) Run(_ context.Context, argv []string, _ io.Reader) ([]byte, error) {
	out, err := a.answer(argv)
	return []byte(out), err
}
