//go:build lab

package report

import (
	"context"
	"fmt"
	"html"
	"image"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// browser returns Debian's chromium, or another of its family. testenv/browser.sh
// installs it.
func browser(t *testing.T) string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getuid() != 0 {
		t.Skip("there is no browser here, and who is not root cannot install one: testenv/browser.sh does so as root on Debian")
	}
	t.Fatal("there is no browser here: testenv/browser.sh installs one")
	return ""
}

// frame shows the page in a frame of some width and writes down what a reader would
// have of it. Its script is the test's; the page has none.
const frame = `<!doctype html><html><body style="margin:0">
<iframe id="page" src="/page" style="border:0;width:%dpx;height:%dpx"></iframe><pre id="seen"></pre>
<script>
onload = () => {
  const page = document.getElementById("page").contentDocument, root = page.documentElement;
  page.querySelectorAll("details").forEach(d => d.open = true);
  const wide = [...page.querySelectorAll("body *")].filter(e => !e.closest("svg, .scroll") && e.getBoundingClientRect().right > root.clientWidth + 1);
  const style = getComputedStyle(page.body);
  const small = [...page.querySelectorAll("td, th, p, li, small, svg text")].filter(e => parseFloat(getComputedStyle(e).fontSize) < 11);
  document.getElementById("seen").textContent = JSON.stringify({
    client: root.clientWidth, scroll: root.scrollWidth, wide: wide.map(e => e.tagName + "." + e.className),
    ink: style.color, paper: style.backgroundColor, small: small.length, rects: page.querySelectorAll("svg.time rect").length,
    bars: Math.round(page.querySelector("svg.time")?.getBoundingClientRect().width ?? 0),
  }) + "\n" + page.body.innerText;
};
</script></body></html>`

// The page in a real browser: on a phone and on a desk, in the light and in the
// dark, with what it usually holds and with hostile names, nothing sticks out to
// the side, everything is there to be read, and nothing is fetched. The
// screenshots are kept where REPORT_SCREENSHOTS says.
func TestPageInABrowser(t *testing.T) {
	program := browser(t)
	keep := os.Getenv("REPORT_SCREENSHOTS")
	if keep == "" {
		keep = t.TempDir()
	}
	for _, look := range []struct {
		name   string
		report Report
		width  int
		dark   bool
		paper  string
	}{
		{"phone", whole(), 360, false, "rgb(255, 255, 255)"},
		{"phone-dark", whole(), 360, true, "rgb(20, 23, 27)"},
		{"desk", whole(), 1200, false, "rgb(255, 255, 255)"},
		{"phone-hostile", hostile(), 360, false, "rgb(255, 255, 255)"},
	} {
		t.Run(look.name, func(t *testing.T) {
			t.Parallel()
			page, err := HTML(look.report)
			if err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			var asked []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				asked = append(asked, r.URL.Path)
				mu.Unlock()
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				switch r.URL.Path {
				case "/":
					fmt.Fprintf(w, frame, look.width, 3000)
				case "/page":
					w.Write(page)
				default:
					w.WriteHeader(http.StatusNotFound)
				}
			}))
			defer server.Close()
			scheme := "1"
			if look.dark {
				scheme = "0"
			}
			args := []string{"--blink-settings=preferredColorScheme=" + scheme, fmt.Sprintf("--window-size=%d,3000", look.width), "--hide-scrollbars"}

			seen := seenIn(t, run(t, program, append(args, "--virtual-time-budget=3000", "--dump-dom", server.URL)))
			facts, text, _ := strings.Cut(seen, "\n")
			t.Log(facts)
			for _, want := range []string{
				fmt.Sprintf(`"client":%d,"scroll":%[1]d,"wide":[]`, look.width), `"paper":"` + look.paper + `"`, `"small":0`,
			} {
				if !strings.Contains(facts, want) {
					t.Errorf("not %s, but %s", want, facts)
				}
			}
			for _, want := range wanted(look.report) {
				if !strings.Contains(text, want) {
					t.Errorf("nobody can read %q in:\n%s", want, text)
				}
			}

			shot := filepath.Join(keep, look.name+".png")
			run(t, program, append(args, "--screenshot="+shot, server.URL+"/page"))
			if size, colours := picturedIn(t, shot); size.X != look.width || colours < 20 {
				t.Errorf("%s: %v, %d colours", shot, size, colours)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, path := range asked {
				if path != "/" && path != "/page" && path != "/favicon.ico" {
					t.Errorf("the page fetches %s", path)
				}
			}
		})
	}
}

// wanted is what must be there to be read.
func wanted(r Report) []string {
	all := []string{r.Summary(), "Checks", "What failed"}
	for _, d := range r.Drills {
		for _, m := range d.Measures {
			all = append(all, value(m.Value, m.Unit))
		}
		for _, m := range d.Timeline {
			all = append(all, seconds(m.Seconds))
		}
		if d.Name == "worker power" {
			all = append(all, "2 replicas are Ready on other machines", "coming back", "some failed", "Service, asked from m1")
		}
	}
	return all
}

// run lets the browser do one thing with a profile of its own.
func run(t *testing.T, program string, args []string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args = append([]string{
		"--headless", "--no-sandbox", // it shows what we wrote, and root has no sandbox
		"--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-extensions",
		"--user-data-dir=" + t.TempDir(),
	}, args...)
	command := exec.CommandContext(ctx, program, args...)
	command.WaitDelay = 5 * time.Second
	var said strings.Builder
	command.Stderr = &said
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, &said)
	}
	return string(out)
}

var seenText = regexp.MustCompile(`(?s)<pre id="seen">(.*?)</pre>`)

func seenIn(t *testing.T, dom string) string {
	t.Helper()
	found := seenText.FindStringSubmatch(dom)
	if found == nil || found[1] == "" {
		t.Fatalf("the frame says nothing:\n%s", dom)
	}
	return html.UnescapeString(found[1])
}

// picturedIn reads a screenshot's size and how many colours it has.
func picturedIn(t *testing.T, name string) (image.Point, int) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	shot, err := png.Decode(io.LimitReader(file, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	colours := map[[3]uint32]bool{}
	for y := range shot.Bounds().Dy() {
		for x := range shot.Bounds().Dx() {
			r, g, b, _ := shot.At(x, y).RGBA()
			colours[[3]uint32{r, g, b}] = true
		}
	}
	return shot.Bounds().Size(), len(colours)
}
