package segment

// A commit is made durable in one step, a write with RWF_DSYNC, or in two, a write and then
// fdatasync. One step is cheaper: nothing but the disk is waited for, and the ring needs no worker
// thread. But the kernel ends such a write on a thread that is bound to the processor that took
// the disk's interrupt. Where that processor is busy, with clients on the same host or with a core
// of ours, the commit waits for its turn, twice: a busy host made 0.1 ms into 2.5 (decision 0013).
// fdatasync runs on a thread that goes where there is room. Which one is quicker changes with
// the load, so a shard keeps trying both.

const (
	stepTrial   = 16 // every so many commits one goes the other way, which costs little
	stepReturn  = 96 // the same while two steps are usual: one may cost a lot then
	stepWeight  = 16 // a commit moves its mean by 1/16 of the difference
	stepCeiling = 16 // times the lesser mean: longer is the disk's doing, whichever way
)

// stepping chooses how a shard's commits are made durable.
type stepping struct {
	always bool     // two steps, whatever they take: see probeSync
	two    bool     // what most commits do at present
	trial  bool     // the commit in flight does the other
	mean   [2]int64 // ns from sent off to durable, in one step and in two; 0: not known
	count  uint8    // commits since the last trial
}

// begin chooses for a new commit.
func (st *stepping) begin() {
	if st.always {
		return
	}
	st.count++
	every := uint8(stepTrial)
	if st.two {
		every = stepReturn
	}
	if st.trial = st.count >= every; st.trial {
		st.count = 0
	}
}

// inTwo: the commit in flight is a write that fdatasync follows.
func (st *stepping) inTwo() bool { return st.always || st.two != st.trial }

// took notes how many ns the commit took that was begun last.
func (st *stepping) took(nanos int64) {
	if st.always {
		return
	}
	way := 0
	if st.inTwo() {
		way = 1
	}
	nanos = max(nanos, 1)
	if st.mean[way] == 0 {
		st.mean[way] = nanos
	}
	one, two := st.mean[0], st.mean[1]
	if one == 0 || two == 0 {
		return
	}
	nanos = min(nanos, stepCeiling*min(one, two))
	st.mean[way] += (nanos - st.mean[way]) / stepWeight
	one, two = st.mean[0], st.mean[1]
	if st.two {
		st.two = two < one
	} else { // the dearer way must be clearly quicker
		st.two = two < one/2
	}
}
