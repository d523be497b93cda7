package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// small runs a fault a few times, on both engines.
func small(t *testing.T, fault string, rounds int) {
	t.Helper()
	o := options{fault: fault, rounds: rounds, io: "both", durability: "fsync", seed: rand.Uint64N(1e9),
		dir: t.TempDir(), device: "volatile"}
	t.Logf("seed %d", o.seed)
	run, err := execute(t.Context(), o)
	for _, f := range run.findings {
		t.Error(f)
	}
	if err != nil {
		t.Fatal(err)
	}
	if run.passed != rounds {
		t.Fatalf("%d of %d rounds", run.passed, rounds)
	}
}

func TestKill(t *testing.T)     { small(t, "kill", 6) }
func TestRecreate(t *testing.T) { small(t, "recreate", 5) }
func TestStorm(t *testing.T)    { small(t, "storm", 4) }

// The disk keeps what was flushed, shows what was not, and loses that with the power.
func TestVolatileDisk(t *testing.T) {
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, make([]byte, 16*diskBlock), 0o600); err != nil {
		t.Fatal(err)
	}
	old, young := bytes.Repeat([]byte{1}, 3*diskBlock), bytes.Repeat([]byte{2}, diskBlock+diskSector)
	for seed, chance := range []*rand.Rand{nil, rand.New(rand.NewPCG(1, 1))} {
		d, err := openVolatileDisk(image)
		if err != nil {
			t.Fatal(err)
		}
		if d.write(old, diskSector) != 0 || d.flush() != 0 || d.write(young, 2*diskSector) != 0 {
			t.Fatal("a write or flush failed")
		}
		seen := make([]byte, len(young))
		if n, errno := d.read(seen, 2*diskSector); n != len(young) || errno != 0 || !bytes.Equal(seen, young) {
			t.Fatal("what was written is not read")
		}
		lost, err := d.powerOff(chance)
		if err != nil || lost != 2 {
			t.Fatalf("%d blocks lost, want 2: %v", lost, err)
		}
		if d.write(old, 0) == 0 || d.flush() == 0 {
			t.Fatal("a disk without power takes writes")
		}
		d.close()
		after, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		kept := 0
		for i, b := range after[diskSector : diskSector+len(old)] {
			switch {
			case b == 1:
			case b == 2 && seed == 1 && i >= diskSector && i < diskSector+len(young):
				kept++
			default:
				t.Fatalf("byte %d is %d", i, b)
			}
		}
		if seed == 1 && (kept == 0 || kept == len(young) || kept%diskSector != 0) {
			t.Fatalf("%d bytes of the cache were kept", kept)
		}
	}
}

// Blocks fail by place or by content, once or for good; a flush that failed has lost what
// it was to save, fails for others for a moment, and then pretends.
func TestBadBlocks(t *testing.T) {
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, make([]byte, 16*diskBlock), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := openVolatileDisk(image)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	block := bytes.Repeat([]byte{7}, diskBlock)
	write := func(number int64) bool { return d.write(block, number*diskBlock) == 0 }

	d.fail(&badBlocks{writes: true, extents: []extent{{2, 4}, {8, 9}}})
	if !write(1) || !write(4) || !write(7) || write(3) || !write(3) || !write(8) {
		t.Error("a write that fails once: wrong blocks, or more than once")
	}
	d.fail(&badBlocks{writes: true, lasting: true, extents: []extent{{2, 4}, {8, 9}}})
	if write(2) || write(3) || write(8) || !write(9) {
		t.Error("writes that fail for good: wrong blocks")
	}
	if n, _ := d.bitten(); n != 3 {
		t.Errorf("bitten %d times", n)
	}
	d.fail(&badBlocks{reads: true, lasting: true, extents: []extent{{2, 4}}})
	if _, errno := d.read(make([]byte, diskBlock), diskBlock); errno != 0 {
		t.Error("a good block cannot be read")
	}
	if _, errno := d.read(make([]byte, 2*diskBlock), diskBlock); errno == 0 || !write(2) {
		t.Error("a bad block can be read, or not be written")
	}
	marked := bytes.Clone(block)
	copy(marked[diskSector:], "MARK")
	d.fail(&badBlocks{writes: true, lasting: true, holds: beginsWith("MARK")})
	if !write(5) || d.write(marked, 5*diskBlock) == 0 {
		t.Error("blocks are not known by their content")
	}

	d.fail(nil)
	if d.flush() != 0 || d.write(marked, 10*diskBlock) != 0 || !write(11) {
		t.Fatal("a mended disk fails")
	}
	d.fail(&badBlocks{flushes: true, extents: []extent{{10, 11}}})
	for i := range 2 {
		if d.flush() == 0 {
			t.Errorf("flush %d does not fail", i)
		}
	}
	time.Sleep(failsOn + 5*time.Millisecond)
	if d.flush() != 0 {
		t.Error("flushes fail for good")
	}
	after := make([]byte, 2*diskBlock)
	if _, errno := d.read(after, 10*diskBlock); errno != 0 || after[0] != 0 || after[diskBlock] != 7 {
		t.Error("the block is not lost, or another one is")
	}
}
