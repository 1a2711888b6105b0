package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/template"

	"github.com/heddle-go/heddle/bench/internal/figures"
)

// Places in the drawing, in its own units, which are pixels where it is shown
// as wide as it is.
const (
	panelWidth  = 320
	panelHeight = 330
	plotLeft    = 52 // from the panel's left edge
	plotTop     = 62 // from the drawing's top
	plotWidth   = 250
	plotHeight  = 210
)

// A scale puts values on a line, by their logarithm.
type scale struct {
	low, high float64 // values at the ends
	from, to  float64 // places of the ends
}

func (s scale) at(v float64) float64 {
	return s.from + (s.to-s.from)*math.Log(v/s.low)/math.Log(s.high/s.low)
}

// newScale covers the values, from one tick to another and at least a power of
// ten, so that noise does not look like growth.
func newScale(values []float64, from, to float64) scale {
	low, high := values[0], values[0]
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	s := scale{low: step(low, math.Floor), high: step(high, math.Ceil), from: from, to: to}
	for s.high/s.low < 10*(1-1e-9) {
		s.low = step(s.low*0.99, math.Floor)
		if s.high/s.low < 10*(1-1e-9) {
			s.high = step(s.high*1.01, math.Ceil)
		}
	}
	return s
}

// step is the nearest 1, 2 or 5 times a power of ten on the side that round
// says.
func step(v float64, round func(float64) float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)+1e-9))
	steps := []float64{1, 2, 5, 10}
	if round(0.5) == 0 { // downwards
		for i := len(steps) - 1; i >= 0; i-- {
			if steps[i]*power <= v*(1+1e-9) {
				return steps[i] * power
			}
		}
	}
	for _, n := range steps {
		if n*power >= v*(1-1e-9) {
			return n * power
		}
	}
	return power
}

// ticks are powers of ten, with 2 and 5 times them if there is room.
func (s scale) ticks() []float64 {
	steps := []float64{1}
	if s.high/s.low <= 200 {
		steps = []float64{1, 2, 5}
	}
	var t []float64
	for power := math.Pow(10, math.Floor(math.Log10(s.low)+1e-9)); power <= s.high; power *= 10 {
		for _, n := range steps {
			if v := n * power; v >= s.low*(1-1e-9) && v <= s.high*(1+1e-9) {
				t = append(t, v)
			}
		}
	}
	return t
}

// A mark is a tick with its label.
type mark struct {
	At    float64
	Label string
}

// A panel is one curve, drawn.
type panel struct {
	Left         int // of the panel in the drawing
	Title, Given string
	X, Y         []mark
	Lines        []line
}

type line struct {
	Class, Points string
	Dots          [][2]float64
}

func newPanel(c curve, n int) panel {
	p := panel{Left: n * panelWidth, Title: c.what, Given: c.given}
	var xs, ys []float64
	for i, v := range c.values {
		xs = append(xs, float64(v))
		ys = append(ys, c.bare[i].CPU, c.heddle[i].CPU)
	}
	x := scale{low: xs[0], high: xs[len(xs)-1], from: plotLeft, to: plotLeft + plotWidth}
	y := newScale(ys, plotTop+plotHeight, plotTop)
	for _, v := range c.values {
		p.X = append(p.X, mark{x.at(float64(v)), c.name(v)})
	}
	for _, v := range y.ticks() {
		p.Y = append(p.Y, mark{y.at(v), plain(v)})
	}
	bare, heddle := line{Class: "bare"}, line{Class: "heddle"}
	for i := range xs {
		bare.add(x.at(xs[i]), y.at(c.bare[i].CPU))
		heddle.add(x.at(xs[i]), y.at(c.heddle[i].CPU))
	}
	p.Lines = []line{bare, heddle}
	return p
}

func (l *line) add(x, y float64) {
	l.Points = strings.TrimSpace(fmt.Sprintf("%s %.1f,%.1f", l.Points, x, y))
	l.Dots = append(l.Dots, [2]float64{x, y})
}

// plain is a tick's label: no more digits than it has.
func plain(v float64) string {
	if v >= 1000 {
		return figures.Digits(v)
	}
	return fmt.Sprintf("%.3g", v)
}

// draw writes the curves side by side.
func draw(w io.Writer, curves []curve) error {
	var panels []panel
	for i, c := range curves {
		panels = append(panels, newPanel(c, i))
	}
	return drawing.Execute(w, map[string]any{
		"Width": len(panels) * panelWidth, "Height": panelHeight, "Panels": panels,
		"PlotLeft": plotLeft, "PlotRight": plotLeft + plotWidth, "PlotTop": plotTop, "PlotBottom": plotTop + plotHeight, "Middle": plotLeft + plotWidth/2,
	})
}

// drawing is SVG without scripts and fonts of its own. Its colours tell each
// other apart without hue, too: one line is dashed.
var drawing = template.Must(template.New("svg").Parse(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {{.Width}} {{.Height}}" width="{{.Width}}" height="{{.Height}}" role="img" aria-labelledby="title">
<title id="title">CPU time per request of heddle and of net/http alone, as connections, bodies and workers grow</title>
<style>
text { font: 11px system-ui, sans-serif; fill: #57606a }
.head { font-size: 13px; font-weight: 600; fill: #1f2328 }
.grid { stroke: #d0d7de; stroke-width: 1 }
.axis { stroke: #57606a; stroke-width: 1 }
.line { fill: none; stroke-width: 2; stroke-linejoin: round }
.bare { stroke: #57606a; stroke-dasharray: 5 3 } .dot.bare { fill: #57606a; stroke: none }
.heddle { stroke: #bc4c00 } .dot.heddle { fill: #bc4c00; stroke: none }
@media (prefers-color-scheme: dark) {
text { fill: #9198a1 }
.head { fill: #f0f6fc }
.grid { stroke: #30363d }
.axis { stroke: #9198a1 }
.bare { stroke: #9198a1 } .dot.bare { fill: #9198a1 }
.heddle { stroke: #f0883e } .dot.heddle { fill: #f0883e }
}
</style>
<g transform="translate({{.PlotLeft}} 14)">
<line class="line heddle" x1="0" y1="0" x2="26" y2="0"/><circle class="dot heddle" cx="13" cy="0" r="3"/><text x="32" y="4">heddle, front and workers</text>
<line class="line bare" x1="190" y1="0" x2="216" y2="0"/><circle class="dot bare" cx="203" cy="0" r="3"/><text x="222" y="4">net/http alone</text>
<text x="330" y="4">both axes are logarithmic</text>
</g>
{{range .Panels}}<g transform="translate({{.Left}} 0)">
<text class="head" x="{{$.PlotLeft}}" y="40">CPU µs per request, by {{.Title}}</text>
<text x="{{$.PlotLeft}}" y="54">{{.Given}}</text>
{{range .Y}}<line class="grid" x1="{{$.PlotLeft}}" x2="{{$.PlotRight}}" y1="{{printf "%.1f" .At}}" y2="{{printf "%.1f" .At}}"/><text x="46" y="{{printf "%.1f" .At}}" dy="4" text-anchor="end">{{.Label}}</text>
{{end}}{{range .X}}<line class="grid" x1="{{printf "%.1f" .At}}" x2="{{printf "%.1f" .At}}" y1="{{$.PlotTop}}" y2="{{$.PlotBottom}}"/><text x="{{printf "%.1f" .At}}" y="{{$.PlotBottom}}" dy="16" text-anchor="middle">{{.Label}}</text>
{{end}}<path class="axis" fill="none" d="M{{$.PlotLeft}} {{$.PlotTop}}V{{$.PlotBottom}}H{{$.PlotRight}}"/>
<text x="{{$.Middle}}" y="{{$.PlotBottom}}" dy="36" text-anchor="middle">{{.Title}}</text>
{{range .Lines}}{{$class := .Class}}<polyline class="line {{.Class}}" points="{{.Points}}"/>
{{range .Dots}}<circle class="dot {{$class}}" cx="{{printf "%.1f" (index . 0)}}" cy="{{printf "%.1f" (index . 1)}}" r="3"/>
{{end}}{{end}}</g>
{{end}}</svg>
`))
