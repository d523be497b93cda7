package record

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// storeFormat changes when files of an earlier kind must not be gone on with.
const storeFormat = "millrace-record/1"

// Store is the directory of a plan's finished runs (C1).
type Store struct {
	dir     string
	state   state
	Samples []*Sample
}

// state is what all runs of a directory have in common (C2), and what later ones depend on.
type state struct {
	Format string             `json:"format"`
	Plan   string             `json:"plan"`
	Rates  map[string]float64 `json:"rates"` // messages per second, by load
}

const stateFile = "plan.json"

// OpenStore reads what an earlier start has left in dir; fresh removes it first. The plan names
// everything that makes runs comparable.
func OpenStore(dir, plan string, fresh bool) (*Store, error) {
	if fresh {
		if err := os.RemoveAll(dir); err != nil {
			return nil, fmt.Errorf("record: %w", err)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	s := &Store{dir: dir, state: state{storeFormat, plan, map[string]float64{}}}
	data, err := os.ReadFile(filepath.Join(dir, stateFile))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return s, s.keepState()
	case err != nil:
		return nil, fmt.Errorf("record: %w", err)
	}
	var was state
	if err := json.Unmarshal(data, &was); err != nil {
		return nil, fmt.Errorf("record: %s: %w", stateFile, err)
	}
	if was.Format != storeFormat || was.Plan != plan {
		if runs, _ := filepath.Glob(filepath.Join(dir, "run.*.json")); len(runs) == 0 {
			return OpenStore(dir, plan, true)
		}
		return nil, fmt.Errorf("record: %s holds runs of another plan or other programs:\n  then: %s\n"+
			"  now:  %s\nFRESH=1 begins anew", dir, was.Plan, plan)
	}
	if was.Rates != nil {
		s.state = was
	}
	return s, s.read()
}

func (s *Store) read() error {
	names, err := filepath.Glob(filepath.Join(s.dir, "run.*.json"))
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("record: %w", err)
		}
		sample := &Sample{}
		if err := json.Unmarshal(data, sample); err != nil {
			return fmt.Errorf("record: %s: %w", filepath.Base(name), err)
		}
		s.Samples = append(s.Samples, sample)
	}
	return nil
}

var notInNames = regexp.MustCompile(`[^a-zA-Z0-9-]+`)

// File is a path within the store, of a name made of words.
func (s *Store) File(words ...string) string {
	for i, w := range words[:len(words)-1] {
		words[i] = notInNames.ReplaceAllString(w, "-")
	}
	return filepath.Join(s.dir, strings.Join(words, "."))
}

// Keep writes a finished run.
func (s *Store) Keep(x *Sample) error {
	s.Samples = slices.DeleteFunc(s.Samples, func(o *Sample) bool {
		return o.Load == x.Load && o.Side == x.Side && o.Round == x.Round
	})
	s.Samples = append(s.Samples, x)
	return keepJSON(s.File("run", x.Load, fmt.Sprint(x.Round), x.Side, "json"), x)
}

// Find is a finished run; nil: there is none.
func (s *Store) Find(load, side string, round int) *Sample {
	for _, x := range s.Samples {
		if x.Load == load && x.Side == side && x.Round == round {
			return x
		}
	}
	return nil
}

// Rate is a rate that was noted before.
func (s *Store) Rate(load string) (float64, bool) {
	v, given := s.state.Rates[load]
	return v, given
}

// KeepRate notes the rate of a load, the same for all its runs.
func (s *Store) KeepRate(load string, perSecond float64) error {
	s.state.Rates[load] = perSecond
	return s.keepState()
}

func (s *Store) keepState() error { return keepJSON(filepath.Join(s.dir, stateFile), &s.state) }

// keepJSON replaces a file: it is whole at any moment.
func keepJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return keepFile(path, append(data, '\n'))
}

func keepFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

// Program names one of the repository's programs by its sources and those of all that it imports:
// its package's build id. The file itself also holds the commit and whether the tree was clean,
// which the first published result changes.
func Program(ctx context.Context, repo, name string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-trimpath", "-export", "-f", "{{.BuildID}}", "./cmd/"+name)
	cmd.Dir = repo
	id, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("record: go list of %s: %w", name, err)
	}
	sum := sha256.Sum256(bytes.TrimSpace(id))
	return name + " " + hex.EncodeToString(sum[:6]), nil
}
