package inspect

import (
	"errors"
	"fmt"
	"io/fs"

	"millrace/segment"
)

// moved brings the logs up to the book of those that went to another core.
func (s *survey) moved() error {
	name := segment.MovesName(s.dir)
	b, err := s.t.files.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		if s.moves > 0 {
			return s.t.bad(name, 0, "missing")
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	logs, generation, rule := segment.ReadMoves(b, s.id)
	if rule == "" && generation < s.moves {
		rule = fmt.Sprintf("generation %d, a checkpoint relies on %d", generation, s.moves)
	}
	if rule != "" {
		return s.t.bad(name, 0, rule)
	}
	for i := range logs {
		l := &logs[i]
		if have := s.logs[l.TP]; have == nil || have.Older(l) {
			s.logs[l.TP], s.from[l.TP] = l, name
		}
	}
	return nil
}
