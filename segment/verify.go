package segment

import "millrace/internal/vfs"

// After a clean stop a start touches no partition's files when there are many. Whether those
// that the checkpoint relies on are there is verified behind it, while clients are served.

// verifier is how far that went.
type verifier struct {
	on      bool
	running bool
	at      int // next log of the list
}

const (
	// verifyAtOnce is how many files a start looks at before it serves: some milliseconds.
	verifyAtOnce = 2000
	// verifyLogs is how many logs one job looks at.
	verifyLogs = 256
)

// expected is a segment's file as the checkpoint has it.
type expected struct {
	seg  *seg
	name string
	size int64
}

// missingFile is what the job answers of a file that is not as expected.
type missingFile struct {
	expected
	err error
}

// verifyTurn starts the next job.
func (s *Shard) verifyTurn() {
	v := &s.verify
	if !v.on || v.running || s.draining {
		return
	}
	var list []expected
	for n := 0; n < verifyLogs && v.at < len(s.list); v.at++ {
		l := s.list[v.at]
		if l == nil {
			continue
		}
		n++
		for _, g := range l.segs {
			if g.onDisk && !g.gone && g.fd.f == nil {
				list = append(list, expected{g, "", g.written})
			}
		}
	}
	if len(list) == 0 {
		v.on = v.at < len(s.list)
		return
	}
	v.running = true
	files := s.o.FS
	s.job(jobVerify, nil, func() any { return verifyFiles(files, list) })
}

func verifyFiles(files vfs.FS, list []expected) (bad []missingFile) {
	for _, e := range list {
		e.name = e.seg.path(endLog) // of fields that do not change
		err := checkFile(files, e.name, e.size)
		if err != nil {
			bad = append(bad, missingFile{e, err})
		}
	}
	return bad
}

// verified ends the broker over a file that is not there, unless it was deleted meanwhile.
func (s *Shard) verified(bad []missingFile) {
	s.verify.running = false
	for _, m := range bad {
		g := m.seg
		if g.gone || g.log.dropped || g.written < m.size {
			continue
		}
		s.fail("a file that the last clean stop left", m.err)
		return
	}
}
