package conformance

import (
	"fmt"
	"strings"
)

// Table is the score by group, and the number of cases that were not passed.
func Table(outcomes []Outcome) (text string, missed int) {
	type score struct{ passed, all int }
	groups := map[string]*score{}
	var order []string
	for _, o := range outcomes {
		s := groups[o.Group]
		if s == nil {
			s = &score{}
			groups[o.Group] = s
			order = append(order, o.Group)
		}
		s.all++
		if o.Err == nil {
			s.passed++
		} else {
			missed++
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| group | passed |\n|---|---|\n")
	for _, g := range order {
		fmt.Fprintf(&b, "| %s | %d of %d |\n", g, groups[g].passed, groups[g].all)
	}
	fmt.Fprintf(&b, "| all | %d of %d |\n", len(outcomes)-missed, len(outcomes))
	return b.String(), missed
}
