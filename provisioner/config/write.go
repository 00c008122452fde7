package config

import (
	"io"

	"github.com/hashicorp/hcl/v2"
)

// Diagnostics are the mistakes of one file and what is needed to show them.
type Diagnostics struct {
	hcl.Diagnostics
	files map[string]*hcl.File
}

// width is what sentences are wrapped at: a narrow terminal.
const width = 78

// Write shows diagnostics to a person, each with its file, line and snippet.
// It writes nothing where there are none.
func Write(w io.Writer, diags Diagnostics, color bool) error {
	return hcl.NewDiagnosticTextWriter(w, diags.files, width, color).WriteDiagnostics(diags.Diagnostics)
}
