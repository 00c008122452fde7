package cli

import "testing"

func TestMeant(t *testing.T) {
	commands := []string{"down", "plan", "status", "up", "validate", "verify"}
	for _, test := range []struct {
		word  string
		there []string
		want  string
	}{
		{"statu", commands, "; did you mean status?"},
		{"plna", commands, "; did you mean plan?"}, // swapped: one slip
		{"valdiaet", commands, "; did you mean validate?"},
		{"tcsh", []string{"bash", "zsh", "fish"}, "; there are bash, zsh, fish"},
		{"w2", []string{"m1", "w1"}, "; there are m1, w1"},
		{"nonsense", commands, "; there are down, plan, status, up, validate, verify"},
		{"x", nil, ""},
	} {
		if got := meant(test.word, test.there); got != test.want {
			t.Errorf("%s: %q, not %q", test.word, got, test.want)
		}
	}
}
