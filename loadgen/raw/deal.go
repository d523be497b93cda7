package raw

// share is what one producing connection has of the load.
type share struct {
	broker broker
	places []int   // partitions in the order in which they get batches
	least  int     // slots
	weight float64 // of its part of the rate, where 1 is that of all connections alike
}

// leading are the brokers that lead anything, by index.
func (r *routing) leading() []int {
	leads := make([]bool, len(r.brokers))
	for _, l := range r.leaders {
		if l >= 0 {
			leads[l] = true
		}
	}
	var out []int
	for i, yes := range leads {
		if yes {
			out = append(out, i)
		}
	}
	return out
}

// deal spreads the producing connections over the brokers that lead something, and each broker's
// partitions over its connections: so that all partitions get batches however few requests are in
// flight, and all connections have as many partitions as requests in flight where there are that
// many.
func (r *run) deal(to *routing) {
	to.shares = make([]share, r.lanes)
	leading := to.leading()
	if len(leading) == 0 {
		return
	}
	places := make([][]int, len(to.brokers))
	for p, l := range to.leaders {
		if l >= 0 {
			places[l] = append(places[l], p)
		}
	}
	for i := range to.shares {
		which := i % len(leading)
		b := leading[which]
		lanes := (r.lanes-which-1)/len(leading) + 1 // of this broker
		mine := places[b]
		each := max(r.w.InFlight, (len(mine)+lanes-1)/lanes)
		s := &to.shares[i]
		s.broker, s.least = to.brokers[b], each
		s.weight = float64(len(mine)) / float64(len(to.leaders)) * float64(r.lanes) / float64(lanes)
		for k := range min(each, len(mine)) {
			s.places = append(s.places, mine[(i/len(leading)*each+k)%len(mine)])
		}
	}
}
