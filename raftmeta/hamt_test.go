package raftmeta

import (
	"maps"
	"math/rand/v2"
	"testing"
)

// TestHamtIsAMap runs the same steps on a hamt and a map, and looks at old versions later.
func TestHamtIsAMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	type version struct {
		h hamt[int, int]
		m map[int]int
	}
	var versions []version
	var h hamt[int, int]
	m := map[int]int{}
	for step := range 20_000 {
		k := rng.IntN(3000)
		if rng.IntN(5) < 2 {
			h = h.delete(k)
			delete(m, k)
		} else {
			h = h.set(k, step)
			m[k] = step
		}
		v, ok := h.get(k)
		if want, has := m[k]; ok != has || v != want || h.len() != len(m) {
			t.Fatalf("step %d: get(%d) = %d %v, want %d %v", step, k, v, ok, want, has)
		}
		if step%997 == 0 {
			versions = append(versions, version{h, maps.Clone(m)})
		}
	}
	for i, v := range versions {
		got := map[int]int{}
		v.h.each(func(k, x int) { got[k] = x })
		if !maps.Equal(got, v.m) || v.h.len() != len(v.m) {
			t.Fatalf("version %d: %d entries, want %d", i, len(got), len(v.m))
		}
		for k := range 3000 {
			x, ok := v.h.get(k)
			want, has := v.m[k]
			if ok != has || x != want {
				t.Fatalf("version %d: get(%d) = %d %v, want %d %v", i, k, x, ok, want, has)
			}
		}
		if i > 0 {
			checkDiff(t, versions[i-1].h, v.h, versions[i-1].m, v.m)
		}
	}
}

func checkDiff(t *testing.T, a, b hamt[int, int], am, bm map[int]int) {
	t.Helper()
	got := maps.Clone(am)
	a.diff(b, func(k, old, now int, had, has bool) {
		if v, ok := am[k]; ok != had || v != old {
			t.Errorf("diff of %d: old %d %v, was %d %v", k, old, had, v, ok)
		}
		if had && has && old == now {
			t.Errorf("diff of %d: nothing changed", k)
		}
		if has {
			got[k] = now
		} else {
			delete(got, k)
		}
	})
	if !maps.Equal(got, bm) {
		t.Error("the difference does not lead from one to the other")
	}
}

// Equal hashes do not come by themselves: they are made by hand here.
func TestHamtEqualHashes(t *testing.T) {
	var root *hnode[string, int]
	keys := []string{"a", "b", "c", "d"}
	for i, k := range keys {
		root, _ = root.with(hslot[string, int]{hash: 42, key: k, val: i}, 0)
	}
	find := func(n *hnode[string, int], k string) (int, bool) {
		for shift := uint(0); n != nil; shift += hbits {
			i := n.find(42, shift, k)
			if i < 0 {
				return 0, false
			}
			if s := n.slots[i]; s.child == nil {
				return s.val, s.key == k
			}
			n = n.slots[i].child
		}
		return 0, false
	}
	for i, k := range keys {
		if v, ok := find(root, k); !ok || v != i {
			t.Fatalf("%s: %d %v", k, v, ok)
		}
	}
	for i, k := range keys {
		var gone bool
		if root, gone = root.without(42, 0, k); !gone {
			t.Fatalf("%s not deleted", k)
		}
		if _, again := root.without(42, 0, k); again {
			t.Fatalf("%s deleted twice", k)
		}
		for j, other := range keys[i+1:] {
			if v, ok := find(root, other); !ok || v != i+1+j {
				t.Fatalf("after deleting %s: %s is %d %v", k, other, v, ok)
			}
		}
	}
	if root != nil {
		t.Fatal("not empty")
	}
}
