package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
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
