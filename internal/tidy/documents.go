package tidy

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
)

var (
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	quoted   = regexp.MustCompile("`([^`\\s]+)`")
	pathLike = regexp.MustCompile(`^(\./)?[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+/?$`)
	heading  = regexp.MustCompile(`^#{1,6}\s+(.*)$`)
)

// documents checks relative links, and paths of the project in back-quotes.
func (t *tree) documents() {
	for _, doc := range t.docs {
		src, err := os.ReadFile(filepath.Join(t.root, doc))
		if err != nil {
			t.find(doc, 0, "document", "%v", err)
			continue
		}
		fenced := false
		for i, raw := range lines(src) {
			l := string(raw)
			if strings.HasPrefix(strings.TrimSpace(l), "```") {
				fenced = !fenced
				continue
			}
			if fenced {
				continue
			}
			for _, m := range link.FindAllStringSubmatch(l, -1) {
				t.link(doc, i+1, m[1])
			}
			for _, m := range quoted.FindAllStringSubmatch(l, -1) {
				t.named(doc, i+1, m[1])
			}
		}
	}
}

func (t *tree) link(doc string, line int, target string) {
	if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
		return
	}
	file, anchor, _ := strings.Cut(target, "#")
	at := doc
	if file != "" {
		at = path.Join(path.Dir(doc), file)
		if !t.exists(at) {
			t.find(doc, line, "link", "%s does not exist", target)
			return
		}
	}
	if anchor != "" && strings.HasSuffix(at, ".md") && !t.hasHeading(at, anchor) {
		t.find(doc, line, "link", "%s has no heading %s", at, anchor)
	}
}

func (t *tree) exists(rel string) bool {
	_, err := os.Stat(filepath.Join(t.root, filepath.FromSlash(rel)))
	return err == nil
}

func (t *tree) hasHeading(doc, anchor string) bool {
	src, err := os.ReadFile(filepath.Join(t.root, doc))
	if err != nil {
		return false
	}
	for _, l := range lines(src) {
		if m := heading.FindStringSubmatch(string(l)); m != nil && slug(m[1]) == anchor {
			return true
		}
	}
	return false
}

// slug is how web views of markdown name a heading's anchor.
func slug(h string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
			return unicode.ToLower(r)
		case r == ' ':
			return '-'
		}
		return -1
	}, strings.TrimSpace(h))
}

// named checks a back-quoted word that is a path below one of the top folders.
// What the build or the broker makes is not there in a fresh clone.
func (t *tree) named(doc string, line int, word string) {
	if !pathLike.MatchString(word) {
		return
	}
	p := path.Clean(strings.TrimPrefix(word, "./"))
	top := strings.Split(p, "/")[0]
	if outside(top) && top != ".ci" || !t.exists(top) {
		return
	}
	if !t.exists(p) && !t.exists(path.Join(path.Dir(doc), p)) {
		t.find(doc, line, "path", "%s does not exist", word)
	}
}
