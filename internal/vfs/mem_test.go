package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"syscall"
	"testing"
)

// filled is n bytes of one value.
func filled(n int, v byte) []byte { return bytes.Repeat([]byte{v}, n) }

func openMem(t *testing.T, m *Mem, name string) File {
	t.Helper()
	f, err := m.Open(name, Create, false)
	must(t, err)
	return f
}

func TestCrashKeepsWhatWasSynced(t *testing.T) {
	for seed := range uint64(200) {
		m := NewMem(seed)
		f := openMem(t, m, "/a")
		_, _ = f.WriteAt(filled(20_000, 1), 0)
		must(t, f.Preallocate(0, 1<<20))
		must(t, f.Sync())
		must(t, m.SyncDir("/"))
		m.Crash()
		data, err := m.ReadFile("/a")
		must(t, err)
		if len(data) != 1<<20 { // the size is kept, the tail is zero
			t.Fatalf("seed %d: size %d", seed, len(data))
		}
		if !bytes.Equal(data[:20_000], filled(20_000, 1)) ||
			!bytes.Equal(data[20_000:], filled(1<<20-20_000, 0)) {
			t.Fatalf("seed %d: other bytes", seed)
		}
	}
}

// TestCrashTearsWrites: every sector of an unsynced overwrite is old or new, and
// over the seeds all of it happens: nothing, all, and a torn middle.
func TestCrashTearsWrites(t *testing.T) {
	const n = 8 * sectorSize
	var none, all, torn, otherSize int
	for seed := range uint64(600) {
		m := NewMem(seed)
		f := openMem(t, m, "/a")
		_, _ = f.WriteAt(filled(n, 1), 0)
		must(t, m.SyncFS("/"))
		_, _ = f.WriteAt(filled(n, 2), 0)
		_, _ = f.WriteAt(filled(n, 3), n)
		m.Crash()
		data, err := m.ReadFile("/a")
		must(t, err)
		if len(data) < n || len(data) > 2*n {
			t.Fatalf("seed %d: size %d", seed, len(data))
		}
		if len(data) > n && len(data) < 2*n {
			otherSize++
		}
		fresh := 0
		for s := 0; s+sectorSize <= len(data); s += sectorSize {
			sector := data[s : s+sectorSize]
			v := sector[0]
			ok := v == 1 || v == 2
			if s >= n {
				ok = v == 0 || v == 3
			}
			if !ok || !bytes.Equal(sector, filled(sectorSize, v)) {
				t.Fatalf("seed %d: sector at %d is neither old nor new", seed, s)
			}
			if s < n && v == 2 {
				fresh++
			}
		}
		switch fresh {
		case 0:
			none++
		case n / sectorSize:
			all++
		default:
			torn++
		}
	}
	if none == 0 || all == 0 || torn == 0 || otherSize == 0 {
		t.Fatalf("not every outcome came up: none %d, all %d, torn %d, size between %d",
			none, all, torn, otherSize)
	}
}

func TestDsyncWriteIsDurableAlone(t *testing.T) {
	lost := 0
	for seed := range uint64(200) {
		m := NewMem(seed)
		f := openMem(t, m, "/a")
		must(t, f.Preallocate(0, 64<<10))
		must(t, m.SyncFS("/"))
		_, err := m.WriteFd(f.Fd(), filled(4096, 1), 0, false)
		must(t, err)
		_, err = m.WriteFd(f.Fd(), filled(4096, 2), 8192, true)
		must(t, err)
		m.Crash()
		data, err := m.ReadFile("/a")
		must(t, err)
		if !bytes.Equal(data[8192:12288], filled(4096, 2)) {
			t.Fatalf("seed %d: a durable write is gone", seed)
		}
		if !bytes.Equal(data[:4096], filled(4096, 1)) {
			lost++
		}
	}
	if lost == 0 {
		t.Fatal("a write without dsync was never lost")
	}
}

func TestCrashUndoesDirectoryChanges(t *testing.T) {
	var created, vanished, renamed, undone, cameBack int
	for seed := range uint64(300) {
		m := NewMem(seed)
		must(t, m.MkdirAll("/d"))
		must(t, m.WriteFile("/d/old", []byte("old")))
		must(t, m.WriteFile("/d/gone", []byte("gone")))
		must(t, m.SyncFS("/"))
		f := openMem(t, m, "/d/new")
		_, _ = f.WriteAt([]byte("new"), 0)
		must(t, f.Sync()) // not enough: the directory was not synced
		must(t, m.Rename("/d/old", "/d/moved"))
		must(t, m.Remove("/d/gone"))
		m.Crash()
		if data, err := m.ReadFile("/d/new"); err == nil {
			created++
			if string(data) != "new" {
				t.Fatalf("seed %d: synced bytes are gone: %q", seed, data)
			}
		} else {
			vanished++
		}
		_, oldErr := m.Stat("/d/old")
		_, movedErr := m.Stat("/d/moved")
		switch {
		case oldErr == nil && movedErr != nil:
			undone++
		case oldErr != nil && movedErr == nil:
			renamed++
		default:
			t.Fatalf("seed %d: half a rename: %v %v", seed, oldErr, movedErr)
		}
		if data, err := m.ReadFile("/d/gone"); err == nil {
			cameBack++
			if string(data) != "gone" {
				t.Fatalf("seed %d: came back as %q", seed, data)
			}
		}
	}
	if created*vanished*renamed*undone*cameBack == 0 {
		t.Fatalf("not every outcome came up: %d %d %d %d %d",
			created, vanished, renamed, undone, cameBack)
	}
}

func TestWriteFileSurvivesEveryCrash(t *testing.T) {
	for seed := range uint64(200) {
		m := NewMem(seed)
		must(t, m.MkdirAll("/d"))
		must(t, m.SyncDir("/"))
		must(t, m.WriteFile("/d/a", filled(3000, 1)))
		m.Crash()
		must(t, m.WriteFile("/d/a", filled(5000, 2)))
		m.Crash()
		data, err := m.ReadFile("/d/a")
		must(t, err)
		if !bytes.Equal(data, filled(5000, 2)) {
			t.Fatalf("seed %d: %d bytes", seed, len(data))
		}
	}
}

func TestKillKeepsWrites(t *testing.T) {
	m := NewMem(1)
	f := openMem(t, m, "/a")
	_, _ = f.WriteAt([]byte("written"), 0)
	unlock, err := m.Lock("/lock")
	must(t, err)
	m.Kill()
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, fs.ErrClosed) {
		t.Fatalf("a dead file took a write: %v", err)
	}
	if _, err := m.WriteFd(f.Fd(), []byte("x"), 0, false); !errors.Is(err, syscall.EBADF) {
		t.Fatalf("a dead number took a write: %v", err)
	}
	if data, _ := m.ReadFile("/a"); string(data) != "written" {
		t.Fatalf("read %q", data)
	}
	again, err := m.Lock("/lock")
	must(t, err)
	must(t, unlock()) // of the dead process: no effect
	if _, err := m.Lock("/lock"); !errors.Is(err, ErrLocked) {
		t.Fatalf("the lock is free: %v", err)
	}
	must(t, again())
}

func TestFailedSyncLosesForGood(t *testing.T) {
	for seed := range uint64(50) {
		m := NewMem(seed)
		rule := &Rule{Calls: CallSync, Name: "a", Count: 1, Err: syscall.EIO}
		f := Faulty(m, rule)
		file, err := f.Open("/a", Create, false)
		must(t, err)
		must(t, file.Preallocate(0, 8192))
		must(t, m.SyncFS("/"))
		_, err = f.WriteFd(file.Fd(), filled(4096, 1), 0, false)
		must(t, err)
		if err := f.SyncFd(file.Fd()); !errors.Is(err, syscall.EIO) {
			t.Fatalf("sync: %v", err)
		}
		must(t, f.SyncFd(file.Fd())) // the second one "succeeds"
		got := make([]byte, 4096)
		_, _ = file.ReadAt(got, 0)
		if got[0] != 1 || f.Hits(rule) != 1 {
			t.Fatal("reads should still see the bytes")
		}
		_, _ = file.WriteAt(filled(512, 2), 0) // written again and synced: that is durable
		must(t, file.Sync())
		m.Crash()
		data, _ := m.ReadFile("/a")
		if !bytes.Equal(data[:512], filled(512, 2)) || !bytes.Equal(data[512:4096], filled(3584, 0)) {
			t.Fatalf("seed %d: after the crash: %v %v", seed, data[0], data[512])
		}
	}
}

func TestCapacity(t *testing.T) {
	m := NewMem(1)
	m.SetCapacity(64 << 10)
	f := openMem(t, m, "/a")
	must(t, f.Preallocate(0, 32<<10))
	if free, _ := m.Free("/"); free != 32<<10 {
		t.Fatalf("free %d", free)
	}
	g := openMem(t, m, "/b")
	n, err := m.WriteFd(g.Fd(), filled(40<<10, 1), 0, false)
	if n != 32<<10 || err != nil {
		t.Fatalf("a write over the edge: %d, %v", n, err)
	}
	if n, err = m.WriteFd(g.Fd(), filled(4096, 1), 32<<10, false); n != 0 || err != syscall.ENOSPC {
		t.Fatalf("a write on a full disk: %d, %v", n, err)
	}
	if _, err = g.WriteAt(filled(8192, 1), 30<<10); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("WriteAt on a full disk: %v", err)
	}
	_, err = f.WriteAt(filled(32<<10, 3), 0) // into what was preallocated
	must(t, err)
	must(t, m.Remove("/b"))
	if free, _ := m.Free("/"); free != 0 {
		t.Fatalf("an open file's space was freed: %d", free)
	}
	must(t, g.Close())
	if free, _ := m.Free("/"); free != 32<<10 {
		t.Fatalf("free after remove: %d", free)
	}
	must(t, f.Truncate(0))
	must(t, m.SyncFS("/"))
	m.Crash()
	if m.Used() != 0 {
		t.Fatalf("used %d", m.Used())
	}
}

// TestSameSeedSameCrash: everything a crash leaves follows from the seed.
func TestSameSeedSameCrash(t *testing.T) {
	run := func(seed uint64) string {
		m := NewMem(seed)
		rng := rand.New(rand.NewPCG(seed, 0))
		for range 3 {
			for range 60 {
				name := fmt.Sprintf("/d%d/f%d", rng.IntN(3), rng.IntN(4))
				_ = m.MkdirAll(name[:3])
				f, err := m.Open(name, Create, false)
				if err != nil {
					continue
				}
				_, _ = f.WriteAt(filled(rng.IntN(9000), byte(rng.Uint32())), rng.Int64N(9000))
				switch rng.IntN(6) {
				case 0:
					_ = f.Sync()
				case 1:
					_ = m.SyncDir(name[:3])
				case 2:
					_ = m.Rename(name, name+"r")
				case 3:
					_ = m.Remove(name)
				case 4:
					_ = f.Truncate(rng.Int64N(9000))
				}
				_ = f.Close()
			}
			m.Crash()
		}
		out := ""
		for d := range 3 {
			dir := fmt.Sprintf("/d%d", d)
			names, _ := m.List(dir)
			for _, name := range names {
				data, _ := m.ReadFile(dir + "/" + name)
				out += fmt.Sprintf("%s/%s %x\n", dir, name, data)
			}
		}
		return out
	}
	for seed := range uint64(20) {
		if first, again := run(seed), run(seed); first != again {
			t.Fatalf("seed %d: two runs differ", seed)
		}
	}
	if run(1) == run(2) {
		t.Fatal("the seed has no effect")
	}
}

// TestModel compares Mem with a plain map of bytes under random use, with a sync of
// everything before each crash.
func TestModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	m := NewMem(9)
	model := map[string][]byte{}
	for step := range 4000 {
		name := fmt.Sprintf("/f%d", rng.IntN(5))
		f := openMem(t, m, name)
		switch rng.IntN(3) {
		case 0:
			p, off := filled(rng.IntN(6000), byte(rng.Uint32())), rng.IntN(20_000)
			_, err := f.WriteAt(p, int64(off))
			must(t, err)
			if len(p) > 0 {
				model[name] = append(model[name], make([]byte, max(0, off+len(p)-len(model[name])))...)
			}
			copy(model[name][min(off, len(model[name])):], p)
		case 1:
			size := rng.IntN(24_000)
			must(t, f.Truncate(int64(size)))
			old := model[name]
			model[name] = make([]byte, size)
			copy(model[name], old)
		case 2:
			must(t, f.Sync())
		}
		must(t, f.Close())
		data, err := m.ReadFile(name)
		must(t, err)
		if !bytes.Equal(data, model[name]) {
			t.Fatalf("step %d: %s differs", step, name)
		}
		if step%200 == 0 {
			must(t, m.SyncFS("/"))
			m.Crash()
			for name, want := range model {
				if data, err := m.ReadFile(name); err != nil || !bytes.Equal(data, want) {
					t.Fatalf("step %d: %s differs after the crash: %v", step, name, err)
				}
			}
		}
	}
}

func TestFaults(t *testing.T) {
	m := NewMem(1)
	second := &Rule{Calls: CallWrite, Name: ".log", Skip: 1, Count: 1, Err: syscall.ENOSPC, Short: true}
	renames := &Rule{Calls: CallRename, Err: syscall.EIO}
	f := Faulty(m, second, renames)
	file, err := f.Open("/x.log", Create, false)
	must(t, err)
	_, err = file.WriteAt(filled(16384, 1), 0)
	must(t, err)
	n, err := file.WriteAt(filled(16384, 2), 16384)
	if n != 8192 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("%d %v", n, err)
	}
	_, err = file.WriteAt(filled(16384, 2), 16384)
	must(t, err)
	if err := f.WriteFile("/y", []byte("y")); !errors.Is(err, syscall.EIO) {
		t.Fatalf("WriteFile over a failing rename: %v", err)
	}
	if _, err := f.Stat("/y"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("it left something")
	}
	if f.Hits(second) != 1 || f.Hits(renames) != 1 {
		t.Fatalf("hits %d %d", f.Hits(second), f.Hits(renames))
	}
	f.Clear()
	must(t, f.WriteFile("/y", []byte("y")))
	f.Add(&Rule{Calls: CallWrite, Short: true})
	if n, err := f.WriteFd(file.Fd(), filled(16384, 3), 0, false); n != 8192 || err != nil {
		t.Fatalf("a short write by number: %d %v", n, err)
	}
}

// TestPowerOff cuts the power at every call of a small story: what the story had
// made durable by then is there, and the other half of a rename never is.
func TestPowerOff(t *testing.T) {
	for cut := range int64(40) {
		m := NewMem(uint64(cut))
		must(t, m.MkdirAll("/d"))
		must(t, m.SyncDir("/"))
		must(t, m.WriteFile("/d/a", []byte("one")))
		m.PowerOffAfter(cut)
		err := m.WriteFile("/d/a", []byte("two"))
		if m.Off() != (err != nil) || err != nil && !errors.Is(err, ErrPowerOff) {
			t.Fatalf("cut %d: off %v, %v", cut, m.Off(), err)
		}
		m.Crash()
		if m.Off() {
			t.Fatal("still off")
		}
		data, readErr := m.ReadFile("/d/a")
		must(t, readErr)
		if s := string(data); s != "one" && s != "two" || err == nil && s != "two" {
			t.Fatalf("cut %d: read %q after %v", cut, s, err)
		}
		if err == nil && cut > 20 {
			return
		}
	}
	t.Fatal("the story never came to its end")
}
