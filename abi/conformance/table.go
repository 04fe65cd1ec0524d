package conformance

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// Table tells the score of each group, and each case that did not pass; passed says that
// there is none.
func Table(results []Result) (table string, passed bool) {
	var order []string
	good, all := map[string]int{}, map[string]int{}
	var failed strings.Builder
	total := 0
	for _, r := range results {
		if all[r.Group] == 0 {
			order = append(order, r.Group)
		}
		all[r.Group]++
		if r.Err == nil {
			good[r.Group]++
			total++
		} else {
			fmt.Fprintf(&failed, "FAIL %s %q (%s): %v\n", r.Group, r.Name, r.Binding.Route, r.Err)
		}
	}
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	for _, group := range order {
		fmt.Fprintf(w, "%s\t%d of %d\n", group, good[group], all[group])
	}
	fmt.Fprintf(w, "all\t%d of %d\n", total, len(results))
	_ = w.Flush() // to memory
	return out.String() + failed.String(), total == len(results)
}
