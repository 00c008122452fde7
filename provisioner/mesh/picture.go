package mesh

import (
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// DOT returns the mesh as Graphviz reads it: an undirected graph whose edges have
// the worse of the two ways' states.
func (m Mesh) DOT() string {
	var b strings.Builder
	fmt.Fprintf(&b, "graph %s {\n  layout=circo; node [shape=box, style=rounded, fontname=\"sans-serif\"]; edge [fontname=\"sans-serif\", fontsize=10];\n", strconv.Quote(plain(m.Cluster)))
	for _, x := range m.Machines {
		colour := ""
		if len(x.Problems) > 0 {
			colour = ", color=\"#c0392b\""
		}
		fmt.Fprintf(&b, "  %s [label=%s%s];\n", strconv.Quote(plain(x.Name)), strconv.Quote(plain(x.Name)+"\n"+plain(caption(x))), colour)
	}
	for _, t := range m.worse() {
		fmt.Fprintf(&b, "  %s -- %s [label=%s, color=%q];\n", strconv.Quote(plain(t.From)), strconv.Quote(plain(t.To)), strconv.Quote(label(t)), colours[t.State])
	}
	b.WriteString("}\n")
	return b.String()
}

var colours = map[State]string{
	Well: "#2e8b57", Narrow: "#d68910", Lossy: "#d68910", Silent: "#c0392b", NoPeer: "#c0392b", Unknown: "#8e8e8e",
}

// labelled is how many machines a picture has at most whose lines carry words.
const labelled = 8

// SVG draws the mesh: the machines on a circle, a line between each two. It
// stands alone: no script, no font, nothing fetched.
func (m Mesh) SVG() string {
	n := len(m.Machines)
	radius := max(150, 22*float64(n))
	size := 2*radius + 220
	centre := size / 2
	type point struct{ x, y float64 }
	at := map[string]point{}
	for i, x := range m.Machines {
		angle := 2*math.Pi*float64(i)/float64(max(n, 1)) - math.Pi/2
		at[x.Name] = point{centre + radius*math.Cos(angle), centre + radius*math.Sin(angle)}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" role="img" font-family="sans-serif">
<title>%s</title>
<style>svg{background:#fff}text{fill:#222}.s{font-size:11px;fill:#555}.n{fill:#f4f6f8}
@media(prefers-color-scheme:dark){svg{background:#15181c}text{fill:#e8e8e8}.s{fill:#aaa}.n{fill:#23282e}}</style>
`, size, size+40, escaped("Pod network of "+m.Cluster))
	for _, t := range m.worse() {
		a, z := at[t.From], at[t.To]
		dash := ""
		if t.State != Well {
			dash = ` stroke-dasharray="6 4"`
		}
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="2"%s><title>%s</title></line>`+"\n",
			a.x, a.y, z.x, z.y, colours[t.State], dash, escaped(t.From+" – "+t.To+": "+label(t)))
		if n <= labelled {
			// A third of the way, where the lines of a circle do not meet.
			fmt.Fprintf(&b, `<text class="s" text-anchor="middle" x="%.1f" y="%.1f">%s</text>`+"\n",
				a.x+(z.x-a.x)/3, a.y+(z.y-a.y)/3-5, escaped(label(t)))
		}
	}
	for _, x := range m.Machines {
		p, stroke := at[x.Name], colours[Well]
		if len(x.Problems) > 0 {
			stroke = colours[Silent]
		}
		fmt.Fprintf(&b, `<g><title>%s</title><rect class="n" x="%.1f" y="%.1f" width="140" height="44" rx="8" stroke="%s" stroke-width="2"/>`,
			escaped(strings.Join(append([]string{x.Name}, x.Problems...), "\n")), p.x-70, p.y-22, stroke)
		fmt.Fprintf(&b, `<text text-anchor="middle" x="%.1f" y="%.1f" font-size="14" font-weight="bold">%s</text>`, p.x, p.y-4, escaped(short(x.Name)))
		fmt.Fprintf(&b, `<text class="s" text-anchor="middle" x="%.1f" y="%.1f">%s</text></g>`+"\n", p.x, p.y+13, escaped(short(caption(x))))
	}
	x := 20.0
	for _, s := range []State{Well, Narrow, Silent, Unknown} {
		fmt.Fprintf(&b, `<line x1="%.0f" y1="%.0f" x2="%.0f" y2="%.0f" stroke="%s" stroke-width="3"/><text class="s" x="%.0f" y="%.0f">%s</text>`+"\n",
			x, size+20, x+22, size+20, colours[s], x+28, size+24, escaped(legend[s]))
		x += 110
	}
	b.WriteString("</svg>\n")
	return b.String()
}

var legend = map[State]string{Well: "well", Narrow: "narrow, lossy", Silent: "silent, no peer", Unknown: "not seen"}

func caption(x Machine) string {
	if x.Mode == "" {
		return "not seen"
	}
	return fmt.Sprintf("%s, MTU %d", x.Mode, x.MTU)
}

func label(t Tunnel) string {
	if t.State == Well || t.State == Narrow || t.State == Lossy {
		text := fmt.Sprintf("%.1f ms", t.RoundTripMS)
		switch t.State {
		case Narrow:
			text += fmt.Sprintf(", %d bytes", t.PathMTU)
		case Lossy:
			text += fmt.Sprintf(", %.0f %% lost", t.Loss*100)
		}
		return text
	}
	return string(t.State)
}

// short keeps a word inside its box.
func short(text string) string {
	if r := []rune(text); len(r) > 20 {
		return string(r[:19]) + "…"
	}
	return text
}

// escaped is text as XML has it. What a machine said may hold anything.
func escaped(text string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(text)) // a Builder takes everything
	return b.String()
}

// plain leaves out what would end a quoted word in Graphviz in another way than Go.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\\' {
			return -1
		}
		return r
	}, text)
}
