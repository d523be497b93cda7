package segment

import (
	"fmt"
	"hash/crc32"

	"millrace/internal/vfs"
)

// FoundJournal is the size of the journal file that Found makes.
const FoundJournal = 8 << 20

// Found makes journals and checkpoint of a directory whose segments were put there by
// somebody else: all of them sealed, with their side files, synced, and described by logs. It looks
// then as after a clean stop of its first opening. Nothing may be there yet.
func Found(files vfs.FS, dir string, id [16]byte, logs []LogInfo) error {
	for _, d := range []string{journalDir(dir), checkpointDir(dir), logRoot(dir)} {
		if err := files.MkdirAll(d); err != nil {
			return fmt.Errorf("segment: make %s: %w", d, err)
		}
	}
	const boot = 1
	if err := files.WriteFile(bootName(dir), bootBytes(id, boot, boot)); err != nil {
		return fmt.Errorf("segment: write %s: %w", bootName(dir), err)
	}
	j, err := makeJournalFile(&Options{FS: files, Dir: dir, Directory: id}, boot<<32|1,
		FoundJournal, boot)
	if err != nil {
		return err
	}
	if err := j.f.Close(); err != nil {
		return fmt.Errorf("segment: close %s: %w", j.name, err)
	}
	b := make([]byte, checkpointHeader)
	for i := range logs {
		b = appendLogRecord(b, logs[i].record())
	}
	putCheckpointHead(b, id, len(b), &checkpointHead{
		boot: boot, cores: 1, clean: true, replay: 1, journal: makeJournalID(boot, 0),
		logs: uint32(len(logs)),
	})
	b = le.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if err := files.WriteFile(checkpointName(dir, boot, 0), b); err != nil {
		return fmt.Errorf("segment: write %s: %w", checkpointName(dir, boot, 0), err)
	}
	for _, d := range []string{logRoot(dir), dir} {
		if err := files.SyncDir(d); err != nil {
			return fmt.Errorf("segment: sync %s: %w", d, err)
		}
	}
	return nil
}

// record is a log of sealed segments as a checkpoint has it.
func (l *LogInfo) record() *logRecord {
	r := &logRecord{
		tp: l.TP, topic: []byte(l.Topic), journal: makeJournalID(1, 0), start: l.Start,
		high: l.End, end: l.End, producers: l.Producers.Encode(nil), epochs: l.Epochs.Encode(nil),
	}
	for i := range l.Segments {
		g := &l.Segments[i]
		r.segs = append(r.segs, segRecord{
			base: g.ID.Base, end: g.End, size: g.Size, created: g.Created, firstMax: g.MaxTime,
			maxTime: g.MaxTime, maxAt: g.MaxAt, lastTime: g.MaxTime, offsets: g.Offsets,
			times: g.Times, sealed: true, finished: true, onDisk: true, gaps: g.Gaps, sums: g.Sums,
			sumBegin: g.Size, sum: g.ID.Seed().At(g.Size).Sum, offsetSum: g.OffsetSum,
			timeSum: g.TimeSum,
		})
	}
	return r
}
