package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
)

// A result is what a run of h2spec has found.
type result struct {
	total   int
	skipped int
	failed  []string // by section and title
}

func (r result) String() string {
	s := fmt.Sprintf("%d of %d", r.total-r.skipped-len(r.failed), r.total)
	if r.skipped > 0 {
		s += fmt.Sprintf(" (%d skipped)", r.skipped)
	}
	return s
}

// worse is what r fails and other does not.
func (r result) worse(other result) (names []string) {
	for _, name := range r.failed {
		if !slices.Contains(other.failed, name) {
			names = append(names, name)
		}
	}
	return names
}

// parseReport reads h2spec's report, JUnit's XML.
func parseReport(b []byte) (r result, err error) {
	var report struct {
		Suites []struct {
			Package string `xml:"package,attr"`
			Cases   []struct {
				Name    string    `xml:"classname,attr"`
				Failure *struct{} `xml:"failure"`
				Error   *struct{} `xml:"error"`
				Skipped *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b, &report); err != nil {
		return r, fmt.Errorf("h2spec's report: %w", err)
	}
	for _, s := range report.Suites {
		for _, c := range s.Cases {
			r.total++
			switch {
			case c.Failure != nil || c.Error != nil:
				r.failed = append(r.failed, s.Package+": "+c.Name)
			case c.Skipped != nil:
				r.skipped++
			}
		}
	}
	if r.total == 0 {
		return r, errors.New("h2spec's report has no case in it")
	}
	return r, nil
}
