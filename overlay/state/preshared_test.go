package state

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provision/overlay"
)

func TestPresharedKey(t *testing.T) {
	if key, err := PresharedKey(""); err != nil || key != (overlay.PresharedKey{}) {
		t.Errorf("without a file: %v", err)
	}
	name := filepath.Join(t.TempDir(), "psk")
	if _, err := PresharedKey(name); err == nil {
		t.Error("a file that is not there counts as no key")
	}
	key := overlay.NewPresharedKey()
	for text, good := range map[string]bool{
		string(key.PresharedKeyText()):  true,
		"hunter2":                       false,
		"":                              false,
		strings.Repeat("A", 43) + "=\n": false, // zeros, which WireGuard takes for none
		string(key.PresharedKeyText()) + strings.Repeat("\n", 9): false,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := PresharedKey(name)
		if (err == nil && got == key) != good {
			t.Errorf("%d bytes: %v", len(text), err)
		}
		if err != nil && text != "" && strings.Contains(err.Error(), strings.TrimSpace(text)) {
			t.Errorf("the error quotes the file: %v", err)
		}
	}
	if text := fmt.Sprintf("%v %s %+v %#v", key, key, struct{ K overlay.PresharedKey }{key}, key); strings.Contains(text, "[") || strings.Contains(text, "0x") {
		t.Errorf("it prints: %s", text)
	}
}
