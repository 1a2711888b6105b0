package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

func writeTraps(w io.Writer, all []finding) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "1.x\tD1\ttrap\tgnet's engine\theddle's loop\t")
	for _, f := range all {
		reason := ""
		if f.Reason {
			reason = "yes"
		}
		gnet, loop := f.Gnet.Saw, f.Loop.Saw
		if !f.Gnet.Trapped {
			gnet = "GONE: " + gnet
		}
		if f.Loop.Trapped {
			loop = "TRAPPED: " + loop
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t\n", f.Section, reason, f.Trap, gnet, loop)
	}
	return table.Flush()
}

func writeCosts(w io.Writer, all []comparison) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "workload; unit\tgnet CPU µs/unit\tloop CPU µs/unit\tratio\tgnet units/s\tloop units/s\t")
	for _, c := range all {
		fmt.Fprintf(table, "%s\t%.2f\t%.2f\t%.2f\t%.0f\t%.0f\t\n", c.Workload, c.Gnet.CPU, c.Loop.CPU, c.Ratio, c.Gnet.Rate, c.Loop.Rate)
	}
	return table.Flush()
}

// verdict is an error if the traps are not what DESIGN D1 says of them.
func verdict(all []finding) error {
	gone, fell := 0, 0
	for _, f := range all {
		if !f.Gnet.Trapped {
			gone++
		}
		if f.Loop.Trapped {
			fell++
		}
	}
	switch {
	case fell > 0:
		return fmt.Errorf("our loop fell into %d of the traps", fell)
	case gone > 0:
		return fmt.Errorf("%d of gnet's traps are gone: DESIGN D1's reason should be reconsidered", gone)
	}
	return nil
}

// median takes each column on its own.
func median(costs []cost) cost {
	mid := func(column func(cost) float64) float64 {
		var v []float64
		for _, c := range costs {
			v = append(v, column(c))
		}
		slices.Sort(v)
		return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
	}
	return cost{mid(func(c cost) float64 { return c.CPU }), mid(func(c cost) float64 { return c.Rate })}
}
