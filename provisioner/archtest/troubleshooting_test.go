package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var quoted = regexp.MustCompile("\\*\\*`([^`]+)`\\*\\*")

// The sentences that docs/troubleshooting.md explains are the program's: each
// piece between two … stands in a string of the source.
func TestTroubleshootingQuotesTheProgram(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs/troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	said := spoken(t)
	sentences := quoted.FindAllStringSubmatch(string(text), -1)
	if len(sentences) < 20 {
		t.Fatalf("found only %d sentences", len(sentences))
	}
	for _, sentence := range sentences {
		for piece := range strings.SplitSeq(sentence[1], "…") {
			if piece = strings.Trim(piece, " :;.,()"); len(piece) > 3 && !strings.Contains(said, piece) {
				t.Errorf("nothing says %q any more, of %q", piece, sentence[1])
			}
		}
	}
}

// spoken is every string in the source of the provisioner, of what it does to machines
// and clusters, and of the overlay, whose agent's sentences status shows; tests left out.
func spoken(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, f := range source(t) {
		if f.test || !in(f.dir, "provisioner", "components", "overlay") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, f.name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.BinaryExpr: // "one long sentence " + "in two lines"
				left, isLeft := node.X.(*ast.BasicLit)
				right, isRight := node.Y.(*ast.BasicLit)
				if isLeft && isRight && left.Kind == token.STRING && right.Kind == token.STRING {
					all.WriteString(unquote(left.Value) + unquote(right.Value) + "\n")
				}
			case *ast.BasicLit:
				if node.Kind == token.STRING {
					all.WriteString(unquote(node.Value) + "\n")
				}
			}
			return true
		})
	}
	return all.String()
}

func unquote(literal string) string {
	text, err := strconv.Unquote(literal)
	if err != nil {
		return literal
	}
	return text
}
