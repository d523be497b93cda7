package segment

import "testing"

// On an idle host one step is quicker, on a busy one two; after each change the shard shall follow
// within some trials, and give the slower way no more than its trials.
func TestStepsFollowWhatIsQuicker(t *testing.T) {
	var st stepping
	run := func(n int, one, two int64) (twos int) {
		for range n {
			st.begin()
			took := one
			if st.inTwo() {
				took, twos = two, twos+1
			}
			st.took(took)
		}
		return twos
	}
	const many = 64 * stepTrial * stepReturn
	for _, phase := range []struct {
		name     string
		one, two int64 // ns
		want     int   // commits of many in two steps
	}{
		{"idle", 80_000, 105_000, many / stepTrial},
		{"busy", 2_500_000, 250_000, many - many/stepReturn},
		{"idle again", 80_000, 105_000, many / stepTrial},
		{"nearly the same", 100_000, 95_000, many / stepTrial},
		{"two are quicker", 100_000, 40_000, many - many/stepReturn},
	} {
		run(many, phase.one, phase.two) // to find out
		if got := run(many, phase.one, phase.two); got != phase.want {
			t.Errorf("%s: %d of %d commits in two steps, want %d", phase.name, got, many, phase.want)
		}
	}
}

func TestStepsBearAStall(t *testing.T) {
	var st stepping
	for i := range 1000 {
		st.begin()
		switch {
		case i == 500:
			st.took(900_000_000)
		case st.inTwo():
			st.took(105_000)
		default:
			st.took(80_000)
		}
	}
	for n := 0; st.two; n++ {
		if n > 50*stepReturn {
			t.Fatalf("one stall of the disk made all further commits take two steps: %v", st.mean)
		}
		st.begin()
		st.took(map[bool]int64{false: 80_000, true: 105_000}[st.inTwo()])
	}
}

func TestStepsKeepToTheOnlyWay(t *testing.T) {
	st := stepping{always: true}
	for range 10 * stepTrial {
		if st.begin(); !st.inTwo() {
			t.Fatal("one step where it does not work")
		}
		st.took(1 << 40)
	}
}
