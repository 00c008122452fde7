package journal

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"provision/components"
)

func TestWhatIsEncodedIsDecoded(t *testing.T) {
	conf := Entry{Kind: components.KindFile, Name: "/etc/sysctl.conf", Mode: 0o644, Now: components.Sum([]byte("ours"))}
	conf.SetContent([]byte("theirs\x00\xff"))
	want := New(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), conf,
		Entry{Kind: components.KindSysctl, Name: "net.ipv4.conf.eth0/100.forwarding", Old: "0", Mode: 0o644, Now: "1"},
		Entry{Kind: components.KindModule, Name: "br_netfilter", Absent: true})

	text, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	content, err := got.Entries[0].Content()
	if err != nil || string(content) != "theirs\x00\xff" {
		t.Errorf("content %q, %v", content, err)
	}
}

func TestFormatIsTheWrittenOne(t *testing.T) {
	file, err := Decode([]byte(`{"version":1,"time":"2026-01-02T03:04:05Z","entries":[
		{"kind":"sysctl","name":"net.ipv4.ip_forward","absent":false,"old":"0","mode":420,"now":"1"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Entry{{Kind: components.KindSysctl, Name: "net.ipv4.ip_forward", Old: "0", Mode: 0o644, Now: "1"}}
	if diff := cmp.Diff(want, file.Entries); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func TestWhatIsNotUnderstoodIsRefused(t *testing.T) {
	entry := func(text string) string { return `{"version":1,"entries":[` + text + `]}` }
	for name, test := range map[string]struct{ text, want string }{
		"no JSON":        {`{"version":1,`, "EOF"},
		"later version":  {`{"version":2}`, "version 2"},
		"no version":     {`{}`, "version 0"},
		"unknown kind":   {entry(`{"kind":"disk","name":"sda"}`), "unknown"},
		"no name":        {entry(`{"kind":"unit"}`), "no name"},
		"control":        {entry(`{"kind":"unit","name":"a\nb"}`), "no name"},
		"relative file":  {entry(`{"kind":"file","name":"etc/passwd"}`), "clean absolute"},
		"step up":        {entry(`{"kind":"file","name":"/etc/provision/../passwd"}`), "clean absolute"},
		"root":           {entry(`{"kind":"dir","name":"/"}`), "clean absolute"},
		"sysctl outside": {entry(`{"kind":"sysctl","name":"../../etc/passwd"}`), "no name of a sysctl"},
		"more than mode": {entry(`{"kind":"dir","name":"/x","mode":65536}`), "permission bits"},
		"too large":      {strings.Repeat(" ", MaxSize+1), "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode([]byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestMergeKeepsTheFirstOldAndTheLastNow(t *testing.T) {
	sysctl := func(name, old, now string) Entry {
		return Entry{Kind: components.KindSysctl, Name: name, Old: old, Now: now}
	}
	got := Merge([]File{
		{Entries: []Entry{sysctl("b", "0", "1"), sysctl("a", "x", "y")}},
		{Entries: []Entry{sysctl("b", "1", "2"), {Kind: components.KindModule, Name: "b", Absent: true}}},
		{Entries: []Entry{sysctl("b", "2", "3"), sysctl("a", "y", "")}},
	})
	want := []Entry{
		sysctl("b", "0", "3"),
		sysctl("a", "x", "y"),
		{Kind: components.KindModule, Name: "b", Absent: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}
