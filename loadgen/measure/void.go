package measure

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The rule for void runs: the generator's own lateness may be a tenth of what it has measured. A
// late generator makes latencies longer, never shorter, since they count from the schedule; but
// they are then its own and not the broker's.
//
// Lateness is not the delay: a request that could not leave because the broker had not answered
// the ones before it was delayed by the broker, and its delay is a rightful part of the response.
// Late is the time between the moment at which a message was due and its connection free, and the
// moment at which the generator took it up.
const (
	lateShare = 0.1
	// lateFloor never voids a run: a timer and a wake-up of a thread take about this long on a
	// virtual machine, and a broker that is faster than that is better measured than not.
	lateFloor = 100 * time.Microsecond
)

// verdict says why a run is void; "" when it is not.
func verdict(l *[kinds]*hdrhistogram.Histogram) string {
	late := l[Late]
	if late == nil || late.TotalCount() == 0 {
		return ""
	}
	shown, name := l[Response], "response"
	if e := l[EndToEnd]; e != nil && e.TotalCount() > 0 {
		shown, name = e, "end-to-end latency"
	}
	if shown == nil || shown.TotalCount() == 0 {
		return ""
	}
	own, whole := late.ValueAtQuantile(99), shown.ValueAtQuantile(99)
	if own <= int64(lateFloor) || float64(own) <= lateShare*float64(whole) {
		return ""
	}
	return fmt.Sprintf("the generator was itself late: %v at p99, more than a tenth of the %s's %v: "+
		"give it a core, fewer messages or more threads", time.Duration(own).Round(time.Microsecond),
		name, time.Duration(whole).Round(time.Microsecond))
}
