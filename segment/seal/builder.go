package seal

// Builder makes the sums of a segment whose batches are all at hand: of a compacted
// one, of one that was made elsewhere, of one whose sums are lost.
type Builder struct {
	id     ID
	run    Running
	pieces []Piece
	end    int64
	next   int64
}

// NewBuilder begins a segment.
func NewBuilder(id ID) *Builder {
	return &Builder{id: id, run: Begin(id, 0), next: id.Base}
}

// Batch adds the next whole batch of the log; next is the offset behind it.
func (b *Builder) Batch(v []byte, next int64) { b.Head(v, int64(len(v)), next) }

// Head is Batch for one of which only the first 21 bytes are at hand.
func (b *Builder) Head(v []byte, size, next int64) {
	b.run.Batch(v)
	b.end += size
	b.next = next
	if b.run.Full(b.end) {
		b.close()
	}
}

func (b *Builder) close() {
	b.pieces = append(b.pieces, Piece{Begin: b.run.Begin, End: b.end, Next: b.next, Sum: b.run.Sum})
	b.run = Begin(b.id, b.end)
}

// Seal closes the last piece.
func (b *Builder) Seal() {
	if b.run.Begin < b.end {
		b.close()
	}
}

// Pieces are those that are closed, and the one that is not.
func (b *Builder) Pieces() ([]Piece, Running) { return b.pieces, b.run }

// Table is the closed pieces.
func (b *Builder) Table() Table {
	return Table{entries: AppendEntries(nil, b.id, 0, b.pieces), base: b.id.Base}
}

// File seals, and is the whole file: index and times are those beside it. next is
// where the segment ends, which may be behind its last batch after a compaction.
func (b *Builder) File(index, times []byte, next int64) []byte {
	b.Seal()
	out := AppendEntries(Header(b.id), b.id, 0, b.pieces)
	return AppendTrailer(out, b.id, &Trailer{
		Entries: int64(len(b.pieces)), Size: b.end, Next: next,
		Index: int64(len(index)), Times: int64(len(times)),
		IndexSum: Sum(0, index), TimesSum: Sum(0, times),
	})
}
