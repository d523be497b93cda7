package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// round damages one copy and judges what the program makes of it.
type round struct {
	o      *options
	number int
	rng    *rand.Rand
	dir    string
	bin    string

	state   *state
	damage  damage
	outcome outcome
	words   string
}

func (r *round) end(o outcome, format string, args ...any) {
	r.outcome, r.words = o, fmt.Sprintf(format, args...)
}

func (r *round) run(states []*state) {
	r.state = states[r.rng.IntN(len(states))]
	if err := os.CopyFS(r.dir, os.DirFS(r.state.dir)); err != nil {
		r.end(wrongOutcome, "copy: %v", err)
		return
	}
	var err error
	if r.damage, err = strike(r.rng, r.dir, r.o.kind); err != nil {
		r.end(harmless, "%v", err)
		return
	}
	seen := r.dump()
	cores := 1 + r.rng.IntN(2)
	p, err := start(r.bin, r.dir, cores, asMade)
	if err == nil {
		defer p.kill()
	}
	switch {
	case crashed(p.log.String()) != "":
		r.end(wrongOutcome, "crash: %s", crashed(p.log.String()))
	case errors.Is(err, errRefused):
		r.refused(p.log.String())
	case err != nil:
		r.end(wrongOutcome, "%v", err)
	default:
		r.judge(p)
	}
	if r.outcome != wrongOutcome && !seen && (r.outcome == refused || r.outcome == answered || r.outcome == rebuilt) &&
		r.damage.kind != "raft" && r.damage.kind != "meta.properties" && r.damage.kind != "partition.metadata" {
		r.end(wrongOutcome, "millrace dump --verify sees no damage: %s: %s", r.outcome, r.words)
	}
	if r.outcome == wrongOutcome {
		_ = os.WriteFile(r.dir+".log", []byte(p.log.String()), 0o644)
		if !r.o.keep {
			_ = os.Remove(r.dir + ".log")
		}
	}
}

// refused: the reason must name the file, or the directory it is in.
func (r *round) refused(log string) {
	reason := log[max(strings.LastIndex(log, "\nmillrace: "), 0):]
	if reason, _, _ = strings.Cut(strings.TrimSpace(reason), "\n"); namesFile(reason, r.damage.file) {
		r.end(refused, "%s", reason)
	} else {
		r.end(wrongOutcome, "refused without a place: %s", reason)
	}
}

func lastLine(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return lines[len(lines)-1]
}

// namesFile says whether words name a file or a directory that it is in.
func namesFile(words, file string) bool {
	if strings.Contains(words, filepath.Base(file)) {
		return true
	}
	if file == "meta.properties" && strings.Contains(words, "directory id") {
		return true // the file that disagrees with it is named
	}
	for dir := filepath.Dir(file); dir != "."; dir = filepath.Dir(dir) {
		if strings.Contains(words, "/"+dir) || strings.Contains(words, dir+"/") {
			return true
		}
	}
	return false
}

var said = regexp.MustCompile(`(?m)^.*level=(WARN|ERROR) .*(damaged|corrupt|missing|torn|dropped|lost|quarantin).*$`)

func (r *round) judge(p *process) {
	got, err := read(p.addr, groups, r.state.picture)
	if err != nil {
		p.ended(time.Second) // it may be about to leave
	}
	log := p.log.String()
	switch {
	case crashed(log) != "":
		r.end(wrongOutcome, "crash: %s", crashed(log))
		return
	case !p.alive():
		// Leaving is right when the disk's content cannot be trusted, if it says where.
		if namesFile(log, r.damage.file) && said.MatchString(log) {
			r.end(refused, "left: %s", lastLine(log))
		} else {
			r.end(wrongOutcome, "left: %s", lastLine(log))
		}
		return
	case err != nil:
		r.end(wrongOutcome, "%v", err)
		return
	}
	d := compare(r.state.picture, got)
	word := said.FindString(log)
	switch {
	case len(d.wrong) > 0:
		r.end(wrongOutcome, "%s; said: %q", strings.Join(d.wrong, "; "), word)
	case len(d.short) > 0 && (word == "" || r.damage.kind != "journal"):
		r.end(wrongOutcome, "lost without a word: %s; said: %q", strings.Join(d.short, "; "), word)
	case len(d.short) > 0:
		r.end(dropped, "%s: %s", strings.Join(d.short, "; "), word)
	case d.none && word == "":
		r.end(harmless, "")
	case d.none:
		r.end(rebuilt, "%s", word)
	default:
		r.end(answered, "%s", strings.Join(got.errors[:min(2, len(got.errors))], "; "))
	}
	if r.outcome != wrongOutcome && r.rng.IntN(4) == 0 {
		if code, err := p.stop(); err != nil || code != 0 && crashed(p.log.String()) != "" {
			r.end(wrongOutcome, "after it was read: exit code %d, %v: %s", code, err, lastLine(p.log.String()))
		}
	}
}

// dump says whether the program's own check sees the damage. What it does not know (the
// metadata log, who a directory belongs to) is not asked of it.
func (r *round) dump() bool {
	cmd := exec.Command(r.bin, "dump", "--verify", r.dir)
	out, err := cmd.CombinedOutput()
	return err != nil && crashed(string(out)) == ""
}
