package upgrade

import "testing"

// One renewal may have been on its way when the process of before was stopped.
func TestAKubeletIsHeardTwice(t *testing.T) {
	for _, test := range []struct {
		renewed []string
		want    int
	}{{nil, 0}, {[]string{"a"}, 0}, {[]string{"a", "a", "a"}, 0}, {[]string{"a", "b", "b"}, 1}, {[]string{"b", "a", "c"}, 2}} {
		var p pulse
		for _, at := range test.renewed {
			p.beat(at)
		}
		if p.beats != test.want {
			t.Errorf("%v are %d beats, want %d", test.renewed, p.beats, test.want)
		}
	}
	if renewals < 2 {
		t.Error("one is enough")
	}
}
