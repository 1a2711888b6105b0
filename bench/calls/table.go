package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// A sample is one load of one stack.
type sample struct {
	CPU    float64 // µs per call, both processes
	Server float64 // of it, the server's
	Rate   float64 // calls per second
	P50    float64 // µs
	P99    float64 // µs
}

// A row is the medians of a stack in one case.
type row struct {
	Stack  string
	Flight int // calls at once
	Size   int // bytes each way
	sample
	Ratio float64 // CPU, to the first stack's
}

func writeTable(w io.Writer, rows []row) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "bytes each way\tin flight\tstack\tCPU µs/call\tof it server\tratio\tcalls/s\tp50 µs\tp99 µs\t")
	for i, r := range rows {
		if i > 0 && (r.Flight != rows[i-1].Flight || r.Size != rows[i-1].Size) {
			fmt.Fprintln(table, "\t\t\t\t\t\t\t\t\t")
		}
		fmt.Fprintf(table, "%d\t%d\t%s\t%.2f\t%.2f\t%.2f\t%.0f\t%.1f\t%.1f\t\n", r.Size, r.Flight, r.Stack, r.CPU, r.Server, r.Ratio, r.Rate, r.P50, r.P99)
	}
	return table.Flush()
}

// median takes each column on its own.
func median(samples []sample) sample {
	mid := func(column func(sample) float64) float64 {
		var v []float64
		for _, s := range samples {
			v = append(v, column(s))
		}
		slices.Sort(v)
		return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
	}
	return sample{
		CPU:    mid(func(s sample) float64 { return s.CPU }),
		Server: mid(func(s sample) float64 { return s.Server }),
		Rate:   mid(func(s sample) float64 { return s.Rate }),
		P50:    mid(func(s sample) float64 { return s.P50 }),
		P99:    mid(func(s sample) float64 { return s.P99 }),
	}
}
