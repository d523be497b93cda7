package vfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"unsafe"
)

// aligned returns n bytes at a multiple of BlockSize.
func aligned(n int) []byte {
	b := make([]byte, n+BlockSize)
	skip := -int(uintptr(unsafe.Pointer(&b[0]))) & (BlockSize - 1)
	return b[skip : skip+n : skip+n]
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// forEach runs the same story on every file system.
func forEach(t *testing.T, story func(t *testing.T, f FS, dir string)) {
	t.Run("os", func(t *testing.T) { story(t, OS(), t.TempDir()) })
	t.Run("mem", func(t *testing.T) {
		m := NewMem(1)
		must(t, m.MkdirAll("/data"))
		story(t, m, "/data")
	})
	t.Run("faulty", func(t *testing.T) {
		m := NewMem(1)
		must(t, m.MkdirAll("/data"))
		story(t, Faulty(m, &Rule{Name: "no such name", Err: syscall.EIO}), "/data")
	})
}

func TestFile(t *testing.T) {
	forEach(t, func(t *testing.T, f FS, dir string) {
		name := filepath.Join(dir, "a")
		if _, err := f.Open(name, ReadWrite, false); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("open of an absent file: %v", err)
		}
		file, err := f.Open(name, Create, false)
		must(t, err)
		if file.Name() != name || file.Direct() {
			t.Fatalf("name %q direct %v", file.Name(), file.Direct())
		}
		_, err = file.WriteAt([]byte("hello"), 10_000)
		must(t, err)
		got := make([]byte, 20_000)
		n, err := file.ReadAt(got, 0)
		if n != 10_005 || err != io.EOF {
			t.Fatalf("read %d, %v", n, err)
		}
		if !bytes.Equal(got[:10_000], make([]byte, 10_000)) || string(got[10_000:n]) != "hello" {
			t.Fatal("read something else")
		}
		must(t, file.Truncate(10_002))
		must(t, file.Truncate(10_004))
		if n, err = file.ReadAt(got[:4], 10_000); string(got[:n]) != "he\x00\x00" || err != nil {
			t.Fatalf("after truncations: %q, %v", got[:n], err)
		}
		must(t, file.Preallocate(0, 1<<20))
		if size, err := file.Size(); size != 1<<20 || err != nil {
			t.Fatalf("size %d, %v", size, err)
		}
		if n, _ = file.ReadAt(got[:4], 10_000); string(got[:n]) != "he\x00\x00" {
			t.Fatalf("Preallocate changed bytes: %q", got[:n])
		}
		if n, err = file.ReadAt(got[:4], 1<<20-4); n != 4 || err != nil || got[0] != 0 {
			t.Fatalf("the preallocated end: %d %v", n, err)
		}
		must(t, file.Sync())
		must(t, file.Close())
	})
}

func TestDirect(t *testing.T) {
	forEach(t, func(t *testing.T, f FS, dir string) {
		file, err := f.Open(filepath.Join(dir, "d"), Create, true)
		must(t, err)
		defer func() { must(t, file.Close()) }()
		if !file.Direct() {
			t.Skip("no O_DIRECT here")
		}
		p := aligned(3 * BlockSize)
		for i := range p {
			p[i] = byte(i / 100)
		}
		_, err = file.WriteAt(p, BlockSize)
		must(t, err)
		if _, err = file.WriteAt(p[:100], 0); !errors.Is(err, syscall.EINVAL) {
			t.Fatalf("an odd length: %v", err)
		}
		got := aligned(8 * BlockSize)
		n, err := file.ReadAt(got, 0)
		if n != 4*BlockSize || err != io.EOF || !bytes.Equal(got[BlockSize:n], p) {
			t.Fatalf("read %d, %v", n, err)
		}
	})
}

func TestNames(t *testing.T) {
	forEach(t, func(t *testing.T, f FS, dir string) {
		deep := filepath.Join(dir, "x", "y")
		if _, err := f.List(deep); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("list of an absent directory: %v", err)
		}
		must(t, f.MkdirAll(deep))
		must(t, f.MkdirAll(deep))
		must(t, f.WriteFile(filepath.Join(deep, "b"), []byte("one")))
		must(t, f.WriteFile(filepath.Join(deep, "a"), []byte("two")))
		must(t, f.WriteFile(filepath.Join(deep, "b"), []byte("three")))
		names, err := f.List(deep)
		must(t, err)
		if !slices.Equal(names, []string{"a", "b"}) {
			t.Fatalf("names %q", names)
		}
		info, err := f.Stat(filepath.Join(deep, "b"))
		must(t, err)
		if info.Size() != 5 || info.IsDir() || info.Name() != "b" {
			t.Fatalf("%v %d %v", info.Name(), info.Size(), info.IsDir())
		}
		if err := f.Remove(deep); err == nil {
			t.Fatal("a full directory was removed")
		}
		must(t, f.Rename(filepath.Join(deep, "a"), filepath.Join(deep, "b")))
		must(t, f.Rename(filepath.Join(dir, "x"), filepath.Join(dir, "z")))
		data, err := f.ReadFile(filepath.Join(dir, "z", "y", "b"))
		must(t, err)
		if string(data) != "two" {
			t.Fatalf("read %q", data)
		}
		must(t, f.SyncDir(dir))
		must(t, f.SyncFS(dir))
		must(t, f.RemoveAll(filepath.Join(dir, "z")))
		must(t, f.RemoveAll(filepath.Join(dir, "z")))
		if names, err = f.List(dir); err != nil || len(names) != 0 {
			t.Fatalf("left: %q %v", names, err)
		}
		if _, err = f.Stat(deep); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("stat: %v", err)
		}
		if err := f.Remove(filepath.Join(dir, "no")); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("remove: %v", err)
		}
		if free, err := f.Free(dir); err != nil || free <= 0 {
			t.Fatalf("free %d %v", free, err)
		}
	})
}

func TestRemovedFileLivesWhileOpen(t *testing.T) {
	forEach(t, func(t *testing.T, f FS, dir string) {
		name := filepath.Join(dir, "a")
		file, err := f.Open(name, Create, false)
		must(t, err)
		must(t, f.Remove(name))
		_, err = file.WriteAt([]byte("still"), 0)
		must(t, err)
		got := make([]byte, 5)
		if n, err := file.ReadAt(got, 0); n != 5 || err != nil {
			t.Fatalf("%d %v", n, err)
		}
		must(t, file.Close())
		if _, err := f.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	})
}

func TestLock(t *testing.T) {
	forEach(t, func(t *testing.T, f FS, dir string) {
		name := filepath.Join(dir, "lock")
		unlock, err := f.Lock(name)
		must(t, err)
		if _, err := f.Lock(name); !errors.Is(err, ErrLocked) {
			t.Fatalf("the second taker got %v", err)
		}
		must(t, unlock())
		again, err := f.Lock(name)
		must(t, err)
		must(t, again())
	})
}
