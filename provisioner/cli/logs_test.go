package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision/provisioner/config"
	"provision/provisioner/ssh/sshtest"
)

func TestWhatLogsAsksJournalctl(t *testing.T) {
	master := config.Machine{Name: "m1", Role: config.Master}
	for name, test := range map[string]struct {
		component string
		flags     logFlags
		want      string
	}{
		"everything":  {"", logFlags{lines: 200}, "--unit=provision-*.service --lines=200"},
		"a component": {"etcd", logFlags{lines: 5}, "--unit=provision-etcd.service --lines=5"},
		"all of it":   {"etcd", logFlags{}, "--unit=provision-etcd.service"},
		"since":       {"etcd", logFlags{since: "1h30m", lines: 200}, "--unit=provision-etcd.service --since=-5400s"},
		"since a day": {"etcd", logFlags{since: "yesterday", lines: 200}, "--unit=provision-etcd.service --since=yesterday"},
		"follow":      {"etcd", logFlags{follow: true, lines: 10}, "--unit=provision-etcd.service --lines=10 --follow"},
	} {
		got, err := journalctl(master, test.component, test.flags)
		if diff := cmp.Diff("journalctl --no-pager --quiet --output=short-iso "+test.want, strings.Join(got, " ")); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

func TestANameThatIsNotThere(t *testing.T) {
	worker := config.Machine{Name: "w1", Role: config.Worker}
	for component, want := range map[string]string{
		"kublet": "did you mean kubelet?",
		"etcd":   "no component of that name runs on a worker",
		"--root": "there are balancer, containerd",
	} {
		if _, err := journalctl(worker, component, logFlags{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", component, err)
		}
	}
	if got := meant("worker2", []string{"master1", "worker1"}); got != "; did you mean worker1?" {
		t.Error(got)
	}
	if d := distance("kitten", "sitting"); d != 3 {
		t.Error(d)
	}
}

func TestLogsOfAMachine(t *testing.T) {
	said := sshtest.Start(t, sshtest.Options{Exec: func(c *sshtest.Command) int {
		io.Copy(io.Discard, c.Stdin)
		fmt.Fprintln(c.Stdout, "w1 node[7]: all is well")
		return 0
	}})
	path := file(t, map[string]*sshtest.Server{"m1": machine(t), "w1": said})
	for args, want := range map[string]struct {
		code int
		says string
	}{
		"w1 kubelet":         {exitDone, "all is well"},
		"w1 --since 10m":     {exitDone, "all is well"},
		"w2":                 {exitMisuse, "w2: no machine of that name in " + path + "; there are m1, w1"},
		"w1 etcd":            {exitMisuse, "no component of that name runs on a worker"},
		"w1 kubelet and all": {exitMisuse, "at most one component"},
	} {
		var out bytes.Buffer
		code := Main(soon(t), append([]string{"logs", path}, strings.Fields(args)...), strings.NewReader(""), &out, &out)
		if code != want.code || !strings.Contains(out.String(), want.says) {
			t.Errorf("logs %s: exit status %d: %s", args, code, &out)
		}
	}
}
