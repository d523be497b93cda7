package view

// Show prints a figure of the row in its unit, for documents beside the report.
func (row *Row) Show(v float64) string { return row.show(v) }

// Better turns a ratio into how many times better the first contestant is: above one is better, for
// every figure.
func (row *Row) Better(r *Ratio) (median, low, high float64) { return row.better(r) }

// Times prints how many times better.
func Times(v float64) string { return times(v) }
