package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// file is one Go file.
type file struct {
	name    string // from the root, with slashes
	dir     string // its package: "provisioner/config"
	test    bool
	lines   int
	comment string // its package comment
	imports []string
}

// ours returns the folders of this project that the file imports.
func (f file) ours() []string {
	var dirs []string
	for _, name := range f.imports {
		if dir, found := strings.CutPrefix(name, "provision/"); found {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// source reads every Go file of the project.
func source(t *testing.T) []file {
	t.Helper()
	var files []file
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			// Folders that git, a lab or a build made.
			skipped := []string{"testdata", "node_modules", "dist", "bin", "build"}
			if name != root && (strings.HasPrefix(entry.Name(), ".") || slices.Contains(skipped, entry.Name())) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := read(name)
		files = append(files, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("found only %d Go files: the test looks in the wrong place", len(files))
	}
	return files
}

func read(name string) (file, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return file{}, err
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return file{}, err
	}
	relative, err := filepath.Rel(root, name)
	if err != nil {
		return file{}, err
	}
	relative = filepath.ToSlash(relative)
	f := file{
		name: relative, dir: path.Dir(relative), test: strings.HasSuffix(name, "_test.go"),
		lines: strings.Count(string(text), "\n"), comment: commentOf(parsed),
	}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return file{}, err
		}
		f.imports = append(f.imports, imported)
	}
	return f, nil
}

func commentOf(parsed *ast.File) string {
	if parsed.Doc == nil {
		return ""
	}
	return parsed.Doc.Text()
}

// in reports whether a folder is one of these, or below one.
func in(dir string, tops ...string) bool {
	for _, top := range tops {
		if dir == top || strings.HasPrefix(dir, top+"/") {
			return true
		}
	}
	return false
}
