package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFile is the largest result that is read: an hour of seconds with four kinds of latency has
// some 20 MB.
const maxFile = 1 << 30

// FormatError is a file that is no result, or one that cannot be true.
type FormatError struct {
	File  string
	Where string // "intervals[3].seconds"
	Rule  string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("result: %s: %s: %s", e.File, e.Where, e.Rule)
}

// ReadFile reads and checks a result.
func ReadFile(path string) (*Run, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	defer f.Close()
	return Read(f, filepath.Base(path))
}

// Read reads and checks a result; name is for errors.
func Read(r io.Reader, name string) (*Run, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("result: %s: %w", name, err)
	}
	if len(data) > maxFile {
		return nil, &FormatError{name, "size", fmt.Sprintf("more than %d bytes", maxFile)}
	}
	var head struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, &FormatError{name, position(err), err.Error()}
	}
	if head.Format != Format {
		return nil, &FormatError{name, "format", fmt.Sprintf("%.40q is not %q", head.Format, Format)}
	}
	run := &Run{}
	if err := json.Unmarshal(data, run); err != nil {
		return nil, &FormatError{name, position(err), err.Error()}
	}
	if err := run.Check(); err != nil {
		var wrong *FormatError
		if errors.As(err, &wrong) {
			wrong.File = name
		}
		return nil, err
	}
	return run, nil
}

func position(err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("byte %d", syntax.Offset)
	case errors.As(err, &kind) && kind.Field != "":
		return kind.Field
	}
	return "JSON"
}

// Write writes a result as JSON.
func (r *Run) Write(w io.Writer) error {
	r.Format = Format
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("result: %w", err)
	}
	return nil
}

// WriteFile writes a result to a file, which is whole or the old one at any moment.
func (r *Run) WriteFile(path string) error { return replaceFile(path, r.Write) }

// replaceFile writes beside a file and puts the new one in its place.
func replaceFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("result: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		_ = f.Close()
		return err
	}
	if err := errors.Join(f.Chmod(0o644), f.Close()); err != nil {
		return fmt.Errorf("result: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("result: %w", err)
	}
	return nil
}

const hidden = "…"

// secret says whether an option of this name has a value that nobody should read in a report.
func secret(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"password", "secret", "token", "credential"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// Redact is a command line without the values of secret options (R4).
func Redact(argv []string) []string {
	out := slices.Clone(argv)
	for i, word := range out {
		if !strings.HasPrefix(word, "-") || !secret(word) {
			continue
		}
		if name, _, found := strings.Cut(word, "="); found {
			out[i] = name + "=" + hidden
		} else if i+1 < len(out) {
			out[i+1] = hidden
		}
	}
	return out
}

// RedactOptions is a set of options without the values of secret ones (R4).
func RedactOptions(options map[string]any) map[string]any {
	out := make(map[string]any, len(options))
	for name, v := range options {
		if text, isText := v.(string); secret(name) && (!isText || text != "") {
			v = hidden
		}
		out[name] = v
	}
	return out
}

// FormatOf is what a JSON file says that it is; "" when it does not say.
func FormatOf(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("result: %w", err)
	}
	var head struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return "", &FormatError{filepath.Base(path), position(err), err.Error()}
	}
	return head.Format, nil
}
