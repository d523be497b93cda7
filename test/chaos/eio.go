package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"millrace/test/checker"
)

const (
	bitesWithin = 40 * time.Second // until a fault meets the broker's I/O
	leavesAfter = 3 * time.Second  // until the broker has left
	exitDisk    = 74
)

// eio makes blocks of the disk fail, one site of the broker's I/O a round, each round on
// a broker of its own.
func (t *trial) eio(ctx context.Context) error {
	if t.mutant {
		return t.eioMutant(ctx)
	}
	return t.eioRun(ctx)
}

// eioMutant runs a build that waits out errors of segments and checkpoints: its disk
// works again, and it would forget what is lost. The harness must notice.
func (t *trial) eioMutant(ctx context.Context) error {
	bin, err := build(ctx, t.scratch, "mutants")
	if err != nil {
		return err
	}
	t.bin, t.env = bin, []string{"MILLRACE_MUTANT=retry-checkpoint"}
	t.skip = slices.IndexFunc(failSites, func(s failSite) bool { return s.name == "segment-write" })
	err = t.eioRun(ctx)
	t.figure["rounds_until_caught"] = t.passed + 1
	switch {
	case errors.Is(err, errSkipped):
		return err
	case len(t.findings) > 0:
		t.logf("the build that waits errors out was caught in round %d:\n  %s", t.passed+1, t.findings[0])
		t.findings, t.passed, t.rounds = nil, 1, 1
		return nil
	case err != nil:
		return err
	}
	t.passed = 0
	t.finding("the build that waits errors out was not caught in %d rounds", t.rounds)
	return nil
}

func (t *trial) eioRun(ctx context.Context) error {
	bitten := map[string]int{}
	t.figure["bitten_by_site"] = bitten
	next := t.skip
	return t.onEachFS(ctx, func(ctx context.Context, fs string, rounds int) error {
		m, err := t.machine(ctx, diskKind{fs, true, 6 << 30})
		if err != nil {
			return err
		}
		e := &breakage{t: t, m: m, bitten: bitten}
		defer func() { t.note("exit_ms_max", longest(e.exits)) }()
		for round := 1; round <= rounds; round++ {
			site := &failSites[next%len(failSites)]
			next++
			began := time.Now()
			if err := e.round(ctx, site, round); err != nil {
				return fmt.Errorf("%s, round %d, %s: %w", fs, round, site.name, err)
			}
			if len(t.findings) > 0 {
				return fmt.Errorf("chaos: ended at the first finding (%s, round %d, %s)", fs, round, site.name)
			}
			t.detail("%s, round %d: %s, %s", fs, round, site.name, time.Since(began).Round(time.Millisecond))
			t.passed++
		}
		return nil
	})
}

// breakage is a machine whose disk breaks and is mended again.
type breakage struct {
	t      *trial
	m      *machine
	bitten map[string]int  // by site
	exits  []time.Duration // from the first error to the exit
}

// round is one fault, its repair, and the judgement.
func (e *breakage) round(ctx context.Context, site *failSite, round int) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	t := e.t
	mark := len(t.undo)
	t.newHistory()
	b, err := newBroker(t.bin, t.scratch, t.durability, smallest...)
	if err != nil {
		return err
	}
	b.data, b.env = filepath.Join(e.m.mount, fmt.Sprintf("data-%d", round)), t.env
	if t.cores = 0; site.early {
		t.cores = 1 // what only comes when every core has swept comes sooner
	}
	w, err := t.open(ctx, b, fillTopic)
	if err != nil {
		return err
	}
	if err := waitFor(ctx, 20*time.Second, "the load runs", func() bool {
		_, acked, _ := t.h.Counts()
		return acked > 100
	}); err != nil {
		return err
	}
	if site.early {
		if err := e.arm(w.b, site); err != nil {
			return err
		}
	}
	calm, err := e.stir(ctx, w, site.metadata)
	if err != nil {
		return err
	}
	t.later(calm)
	if !site.early {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(t.moment()):
		}
	}
	switch site.when {
	case serving:
		err = e.whileServing(ctx, w, site, round)
	case starting:
		err = e.atStart(ctx, w, site, round)
	default:
		err = e.whileReading(ctx, w, site, round)
	}
	if err != nil {
		return err
	}
	calm()
	if err := w.finish(ctx, round); err != nil {
		return err
	}
	for len(t.undo) > mark {
		t.undone()
	}
	return os.RemoveAll(b.data)
}

// stir keeps all of the broker's I/O going: journals that fill up, and so segments,
// indexes and checkpoints; with metadata also the quorum's log.
func (e *breakage) stir(ctx context.Context, w *world, metadata bool) (calm func(), err error) {
	f, err := newFiller(e.t.h, w.b.addr)
	if err != nil {
		return nil, err
	}
	admin, err := kgo.NewClient(clientOpts(w.b.addr)...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{}, 2)
	go func() {
		for ctx.Err() == nil {
			_ = f.write(ctx, 8, 200_000)
			time.Sleep(5 * time.Millisecond)
		}
		done <- struct{}{}
	}()
	go func() {
		for metadata && ctx.Err() == nil {
			_ = alterMuch(ctx, admin, 10)
		}
		done <- struct{}{}
	}()
	calmed := false
	return func() {
		if calmed {
			return
		}
		calmed = true
		cancel()
		f.cl.Close()
		admin.Close()
		<-done
		<-done
	}, nil
}

// arm breaks the site's blocks.
func (e *breakage) arm(b *broker, site *failSite) error {
	// A read that fails once is tried again by the kernel: nobody would learn of it.
	bad := &badBlocks{reads: site.reads, writes: site.writes, flushes: site.flushes,
		lasting: site.reads || e.t.rng.IntN(2) == 0}
	if len(site.words) > 0 {
		bad.holds = beginsWith(site.words...)
	}
	e.m.disk.fail(bad)
	return e.place(b, site)
}

// bites waits until the fault has met the broker. Files grow and come meanwhile, so that
// where they lie is asked again and again.
func (e *breakage) bites(ctx context.Context, b *broker, site *failSite, alive func() bool) error {
	for end := time.Now().Add(bitesWithin); alive(); time.Sleep(5 * time.Millisecond) {
		if n, _ := e.m.disk.bitten(); n > 0 {
			break
		}
		if ctx.Err() != nil || time.Now().After(end) {
			return fmt.Errorf("chaos: the fault did not bite within %s", bitesWithin)
		}
		if err := e.place(b, site); err != nil {
			return err
		}
	}
	if n, _ := e.m.disk.bitten(); n == 0 {
		return errors.New("chaos: the fault did not bite\n" + b.lastWords())
	}
	e.bitten[site.name]++
	return nil
}

// place says where the site's files are by now.
func (e *breakage) place(b *broker, site *failSite) error {
	at, err := blocksOf(site.paths(b)...)
	e.m.disk.move(at)
	return err
}

// mend repairs the disk: it works again, after a power loss or without one.
func (e *breakage) mend() error {
	if e.t.rng.IntN(2) == 0 {
		if _, err := e.m.powerOff(e.t.rng); err != nil {
			return err
		}
	}
	e.m.disk.fail(nil)
	return e.remount()
}

// remount takes the filesystem away and mounts it again: nothing of it is in memory then.
func (e *breakage) remount() error {
	if err := e.m.clear(); err != nil {
		return err
	}
	return e.m.powerOn()
}

// whileServing breaks the disk under load: the broker leaves, and says why.
func (e *breakage) whileServing(ctx context.Context, w *world, site *failSite, round int) error {
	if !site.early {
		if err := e.arm(w.b, site); err != nil {
			return err
		}
	}
	if err := e.bites(ctx, w.b, site, w.b.alive); err != nil {
		return err
	}
	w.bitten++
	if err := e.leaves(w.b, site); err != nil {
		return err
	}
	if err := e.mend(); err != nil {
		return err
	}
	return w.b.start(ctx, e.t.life(round))
}

// leaves waits for the end of a broker whose disk failed.
func (e *breakage) leaves(b *broker, site *failSite) error {
	_, first := e.m.disk.bitten()
	select {
	case <-b.done:
		e.exits = append(e.exits, time.Since(first))
	case <-time.After(leavesAfter):
		e.t.finding("%s failed, and %s later the broker is still there\n%s", site.name, leavesAfter, b.lastWords())
		b.end()
	}
	return e.saysWhy(b, site)
}

// saysWhy judges how the broker left.
func (e *breakage) saysWhy(b *broker, site *failSite) error {
	words := b.lastWords()
	if code := b.cmd.ProcessState.ExitCode(); code != exitDisk {
		e.t.finding("%s failed, and the broker left with code %d, not %d\n%s", site.name, code, exitDisk, words)
	}
	for _, w := range []string{"input/output error", "read-only file system", "structure needs cleaning"} {
		if strings.Contains(words, w) {
			return nil
		}
	}
	e.t.finding("%s failed, and the broker did not say so\n%s", site.name, words)
	return nil
}

// atStart breaks the disk under a broker that starts after a kill: it says that, leaves,
// at once or soon, and has changed nothing that the next start needs.
func (e *breakage) atStart(ctx context.Context, w *world, site *failSite, round int) error {
	err := waitFor(ctx, bitesWithin, "there is something to read", func() bool {
		at, err := blocksOf(site.paths(w.b)...)
		return err == nil && len(at) > 0 || len(site.files) == 0
	})
	if err != nil {
		return err
	}
	if err := w.b.kill(); err != nil {
		return err
	}
	if err := e.remount(); err != nil {
		return err
	}
	if err := e.arm(w.b, site); err != nil {
		return err
	}
	var outcome error
	started := make(chan struct{})
	go func() {
		outcome = w.b.start(ctx, e.t.life(round))
		close(started)
	}()
	err = e.bites(ctx, w.b, site, func() bool {
		select {
		case <-started:
			return outcome == nil && w.b.alive()
		default:
			return true
		}
	})
	<-started
	if err != nil {
		w.b.end()
		return errors.Join(err, outcome)
	}
	w.bitten++
	switch err := outcome; {
	case err == nil: // what failed is asked for a moment later
		if err := e.leaves(w.b, site); err != nil {
			return err
		}
	case !errors.Is(err, errNoStart):
		return err
	default:
		if err := e.saysWhy(w.b, site); err != nil {
			return err
		}
	}
	if err := e.mend(); err != nil {
		return err
	}
	return w.b.start(ctx, e.t.life(round))
}

// whileReading breaks blocks of old records: who reads them gets an error, nobody else
// notices.
func (e *breakage) whileReading(ctx context.Context, w *world, site *failSite, round int) error {
	if err := w.b.stop(); err != nil { // so that all of it is in files, and not in memory
		return err
	}
	if err := e.remount(); err != nil {
		return err
	}
	if err := e.arm(w.b, site); err != nil {
		return err
	}
	if err := w.b.start(ctx, e.t.life(round)); err != nil {
		return err
	}
	over, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan error, 1)
	go func() { answers <- e.readOld(over, w) }()
	if err := e.bites(ctx, w.b, site, w.b.alive); err != nil {
		return err
	}
	w.bitten++
	_, before, _ := e.t.h.Counts()
	err := waitFor(ctx, 10*time.Second, "records are taken while others cannot be read", func() bool {
		_, acked, _ := e.t.h.Counts()
		return acked > before+200 || !w.b.alive()
	})
	time.Sleep(100 * time.Millisecond)
	cancel()
	if err := errors.Join(err, w.b.gone(), <-answers); err != nil {
		return err
	}
	e.m.disk.fail(nil)
	return nil
}

// readOld reads logs from their starts, as long as it may. An answer is an error or
// records: none of both would let a reader wait for ever.
func (e *breakage) readOld(ctx context.Context, w *world) error {
	v := kversion.Stable()
	v.SetMaxKeyVersion(kmsg.Fetch.Int16(), 12) // names, not ids
	cl, err := kgo.NewClient(clientOpts(w.b.addr, kgo.MaxVersions(v))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	refused := 0
	defer func() { e.t.figure["reads_refused"] = refused }()
	all := append([]checker.Place{{Topic: fillTopic.name}}, w.places...)
	for i := 0; ctx.Err() == nil; i++ {
		p := all[i%len(all)]
		req := kmsg.NewPtrFetchRequest()
		req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 200, 1, 1<<20
		top := kmsg.NewFetchRequestTopic()
		top.Topic = p.Topic
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition, part.FetchOffset, part.PartitionMaxBytes = p.Partition, 0, 1<<20
		top.Partitions = append(top.Partitions, part)
		req.Topics = append(req.Topics, top)
		raw, err := cl.Broker(1).RetriableRequest(ctx, req)
		if err != nil {
			continue // the end, or the broker is gone, which the caller finds
		}
		resp := raw.(*kmsg.FetchResponse)
		if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
			return fmt.Errorf("chaos: a fetch of %s/%d was answered with %d topics", p.Topic, p.Partition,
				len(resp.Topics))
		}
		got := &resp.Topics[0].Partitions[0]
		switch err := kerr.ErrorForCode(got.ErrorCode); {
		case err != nil && !errors.Is(err, kerr.KafkaStorageError):
			return fmt.Errorf("chaos: records of %s/%d that cannot be read: %w", p.Topic, p.Partition, err)
		case err != nil:
			refused++
		case len(got.RecordBatches) == 0 && got.HighWatermark > 0:
			return fmt.Errorf("chaos: a fetch of %s/%d from 0 got nothing, of %d", p.Topic, p.Partition,
				got.HighWatermark)
		}
	}
	return nil
}
