package config

import (
	"io"

	"github.com/hashicorp/hcl/v2"
)

// Diagnostics are the mistakes of one file and what is needed to show them.
type Diagnostics struct {
	hcl.Diagnostics
	files map[string]*hcl.File
	path  string // the cluster file
}

// Refuse adds a mistake that was found in what a part of the file names.
func (d *Diagnostics) Refuse(at hcl.Range, summary, detail string) {
	d.Diagnostics = append(d.Diagnostics, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: &at})
}

// Warn adds a doubt about what a part of the file names.
func (d *Diagnostics) Warn(at hcl.Range, summary, detail string) {
	d.Refuse(at, summary, detail)
	d.Diagnostics[len(d.Diagnostics)-1].Severity = hcl.DiagWarning
}

// Mistake is one diagnostic for a program to read. Line and Column count from 1
// and are 0 where the mistake is of the file as a whole, or of the command line.
type Mistake struct {
	File     string `json:"file"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Severity string `json:"severity"` // "error" or "warning"
	Summary  string `json:"summary"`
	Detail   string `json:"detail"`
}

// List returns the diagnostics for a program; it is never nil.
func (d Diagnostics) List() []Mistake {
	mistakes := []Mistake{}
	for _, diag := range d.Diagnostics {
		m := Mistake{File: d.path, Severity: "error", Summary: diag.Summary, Detail: diag.Detail}
		if diag.Severity == hcl.DiagWarning {
			m.Severity = "warning"
		}
		if at := diag.Subject; at != nil {
			m.File, m.Line, m.Column = at.Filename, at.Start.Line, at.Start.Column
		}
		mistakes = append(mistakes, m)
	}
	return mistakes
}

// width is what sentences are wrapped at: a narrow terminal.
const width = 78

// Write shows diagnostics to a person, each with its file, line and snippet.
// It writes nothing where there are none.
func Write(w io.Writer, diags Diagnostics, color bool) error {
	return hcl.NewDiagnosticTextWriter(w, diags.files, width, color).WriteDiagnostics(diags.Diagnostics)
}
