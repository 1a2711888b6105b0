package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/cmd/internal/bench"
	"github.com/heddle-go/heddle/cmd/internal/bench/report"
)

func newBenchCompare() *cobra.Command {
	var (
		o      report.CompareOptions
		asJSON bool
		most   string
	)
	cmd := &cobra.Command{
		Use:   "compare [flags] A.json B.json [A2.json B2.json...]",
		Short: "Compare runs of heddle bench, and say what is noise",
		Long: `Compare tells what sets the runs B apart from the runs A, as heddle bench --save has
written them: for each metric both values, the change, and between which bounds the
change lies with 95 % confidence. A change that may be chance is called noise, and one
below 1 % the same. Files come in turn: A, B, and again A2, B2. Several runs of each,
made in turn, are better than one: only they show how much runs differ by themselves.

Both sides are drawn again 2000 times out of the blocks that their intervals make, and
out of their runs where there are several (a bootstrap, seeded, so that the same files
give the same answer). It needs 8 intervals of each.

Exit code 0 whatever came of it, but 5 if a metric is worse by more than
--max-regression and that is no noise, or if nothing can be told.`,
		Example: `  heddle bench compare before.json after.json
  heddle bench compare a1.json b1.json a2.json b2.json a3.json b3.json
  heddle bench compare before.json after.json --max-regression 5% --json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 || len(args)%2 != 0 {
				return usage("bench compare", "bench compare needs files in pairs, A and B; got %s", quotedWords(args))
			}
			return nil
		},
		ValidArgsFunction: completeFiles,
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.BoolVar(&asJSON, "json", false, "print JSON")
	fs.StringVar(&most, "max-regression", "", "fail if a metric is worse by more than that, such as 5%, and it is no noise")
	fs.Float64Var(&o.Confidence, "confidence", 0.95, "of the bounds, from 0.5 to 0.9999")
	fs.IntVar(&o.Resamples, "resamples", 2000, "how often both sides are drawn again")
	fs.Uint64Var(&o.Seed, "seed", 1, "of the drawing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		limit, err := share(most)
		if err != nil {
			return usage("bench compare", "--max-regression %s: want a share such as 5%%", quoted(most))
		}
		if err := o.Check(); err != nil {
			return usage("bench compare", "%s", strings.TrimPrefix(err.Error(), "bench: "))
		}
		var sides [2][]*bench.Result
		for i, path := range args {
			r, err := readResult(path)
			if err != nil {
				return err
			}
			if !r.Kept() {
				return &failure{code: exitError, err: fmt.Errorf("%s: %w", path, report.ErrNotKept), try: "try: heddle bench --interval 1s --save"}
			}
			sides[i%2] = append(sides[i%2], r)
		}
		c, err := report.Compare(sides[0], sides[1], o)
		if err != nil {
			return err
		}
		show := c.Text
		if asJSON {
			show = c.JSON
		}
		if err := show(cmd.OutOrStdout()); err != nil {
			return err
		}
		if most == "" {
			return nil
		}
		if worse := c.Regressions(limit); len(worse) > 0 {
			return &failure{code: exitThreshold, err: fmt.Errorf("a threshold failed: max-regression %s: %s", most, strings.Join(worse, "; "))}
		}
		return nil
	}
	return cmd
}

// share reads 5% or 0.05; "" is 0.
func share(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	digits, percent := strings.CutSuffix(text, "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	if err == nil && percent {
		f /= 100
	}
	if err == nil && !(f >= 0 && f <= 100) {
		err = strconv.ErrRange
	}
	return f, err
}
