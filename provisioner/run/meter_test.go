package run

import (
	"bytes"
	"context"
	"io"
	"testing"

	"provision/components"
)

type sending struct {
	components.Site
	text string
}

func (s sending) Bundle(_ context.Context, w io.Writer, _ map[string]bool) error {
	for i := range s.text { // more often than is told of
		if _, err := io.WriteString(w, s.text[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (s sending) BundleSize(map[string]bool) int64 { return int64(len(s.text)) }

// Whatever is sent is told of, to the last byte, and arrives.
func TestMeter(t *testing.T) {
	var done, total int64
	var arrived bytes.Buffer
	m := meter{sending{text: "a bundle"}, func(d, t int64) { done, total = d, t }}
	if err := m.Bundle(t.Context(), &arrived, nil); err != nil {
		t.Fatal(err)
	}
	if done != 8 || total != 8 || arrived.String() != "a bundle" {
		t.Errorf("told %d of %d, sent %q", done, total, arrived.String())
	}
}
