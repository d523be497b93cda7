package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/test/checker"
)

// fullDisk is a broker whose disk fills up: what goes on, what is refused.
type fullDisk struct {
	w       *world
	ballast *ballast
	filler  *filler
	admin   *kgo.Client

	refused, healed, stopped []time.Duration
	starts                   []time.Duration // on the full disk
	changes, commits         int             // made on the full disk
}

// doomed are topics that are there to be deleted on a full disk.
func doomed(round int) string { return fmt.Sprintf("chaos-doomed-%d", round) }

func newFullDisk(ctx context.Context, w *world, b *ballast) (*fullDisk, error) {
	f := &fullDisk{w: w, ballast: b}
	var err error
	if f.filler, err = newFiller(w.t.h, w.b.addr); err != nil {
		return nil, err
	}
	if f.admin, err = kgo.NewClient(clientOpts(w.b.addr)...); err != nil {
		return nil, err
	}
	return f, waitFor(ctx, 20*time.Second, "the group has its member", func() bool {
		return f.heartbeat(ctx) == nil
	})
}

func (f *fullDisk) close() {
	f.filler.cl.Close()
	f.admin.Close()
}

func (f *fullDisk) figures() {
	t := f.w.t
	t.note("refused_ms_max", longest(f.refused))
	t.note("healed_ms_max", longest(f.healed))
	t.note("stop_on_full_ms_max", longest(f.stopped))
	t.note("start_on_full_ms_max", longest(f.starts))
	t.note("metadata_changes_on_full", f.changes)
	t.note("commits_on_full", f.commits)
}

func longest(list []time.Duration) int64 {
	var most time.Duration
	for _, d := range list {
		most = max(most, d)
	}
	return most.Milliseconds()
}

// once is a round: full, refused, all else goes on, perhaps stopped and started there;
// then there is space, and it heals by itself.
func (f *fullDisk) once(ctx context.Context, round int) error {
	w := f.w
	if err := createTopics(ctx, f.admin, topicPlan{doomed(round), 1, nil}); err != nil {
		return err
	}
	if err := f.ballast.fill(); err != nil {
		return err
	}
	took, err := f.filler.refused(ctx)
	if err != nil {
		return errors.Join(err, f.w.b.gone())
	}
	w.bitten++
	f.refused = append(f.refused, took)
	if err := f.ballast.fill(); err != nil { // what files gave back meanwhile
		return err
	}
	if err := f.goesOn(ctx, round); err != nil {
		return errors.Join(err, f.w.b.gone())
	}
	if round%restartEvery == 0 {
		if err := f.restart(ctx, round); err != nil {
			return err
		}
	}
	if err := f.ballast.drop(); err != nil {
		return err
	}
	healed, err := f.filler.healed(ctx)
	if err != nil {
		return errors.Join(err, f.w.b.gone())
	}
	f.healed = append(f.healed, healed)
	if err := f.commit(ctx, healedWithin, "when there is space again"); err != nil {
		return err
	}
	w.t.detail("round %d: refused after %s, healed after %s", round, took.Round(time.Millisecond),
		healed.Round(time.Millisecond))
	if err := w.errors(); err != nil {
		return err
	}
	return w.back(ctx, round)
}

// goesOn asks for all that a full disk must not end.
func (f *fullDisk) goesOn(ctx context.Context, round int) error {
	w := f.w
	if _, err := scan(ctx, w.t.h, w.b.addr, fmt.Sprintf("full-%d", round),
		[]checker.Place{w.places[w.t.rng.IntN(len(w.places))]},
		func(b bounds) int64 { return max(b.start, b.end-1-w.t.rng.Int64N(2000)) }); err != nil {
		return fmt.Errorf("fetch on a full disk: %w", err)
	}
	if err := f.heartbeat(ctx); err != nil {
		return fmt.Errorf("heartbeat on a full disk: %w", err)
	}
	if err := f.commit(ctx, 5*time.Second, "on a full disk"); err != nil {
		return fmt.Errorf("%w\n%s", err, w.b.lastWords())
	}
	f.commits += 3
	if err := f.change(ctx, round); err != nil {
		return fmt.Errorf("metadata on a full disk: %w", err)
	}
	return w.groups.check(ctx, w.b.addr)
}

// commit waits for some commits of the group without members.
func (f *fullDisk) commit(ctx context.Context, within time.Duration, when string) error {
	t, g := f.w.t, f.w.groups
	g.refused.Store(nil)
	before := t.h.CommitFloor(simpleGroup, f.w.places[0])
	err := waitFor(ctx, within, "offsets are committed "+when, func() bool {
		return t.h.CommitFloor(simpleGroup, f.w.places[0]) >= before+3
	})
	if code := g.refused.Load(); err != nil && code != nil {
		err = fmt.Errorf("%w: %w", err, kerr.ErrorForCode(*code))
	}
	return err
}

// heartbeat is one more of the group's member.
func (f *fullDisk) heartbeat(ctx context.Context) error {
	member, generation := f.w.groups.member.GroupMetadata()
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = memberGroup, member, generation
	resp, err := req.RequestWith(ctx, f.admin)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}

// bulk is a value of a topic's config that is long and without effect: with it, changes
// need new files of the metadata log within a round or two.
var bulk = strings.TrimSuffix(strings.Repeat("0:1,", 1000), ",")

// alterMuch changes a topic's config some times.
func alterMuch(ctx context.Context, cl *kgo.Client, times int) error {
	for i := range times {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, loadTopics[0].name
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		value := bulk[:len(bulk)-4*(i%10)]
		c.Name, c.Value = "leader.replication.throttled.replicas", &value
		r.Configs = append(r.Configs, c)
		req.Resources = append(req.Resources, r)
		resp, err := req.RequestWith(ctx, cl)
		if err == nil {
			err = kerr.ErrorForCode(resp.Resources[0].ErrorCode)
		}
		if err != nil {
			return fmt.Errorf("chaos: IncrementalAlterConfigs: %w", err)
		}
	}
	return nil
}

// change alters the metadata: configs, a topic less, a new producer's id.
func (f *fullDisk) change(ctx context.Context, round int) error {
	if err := alterMuch(ctx, f.admin, 100); err != nil {
		return err
	}
	f.changes += 100
	if err := deleteTopic(ctx, f.admin, doomed(round)); err != nil {
		return err
	}
	resp, err := kmsg.NewPtrInitProducerIDRequest().RequestWith(ctx, f.admin)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("InitProducerId: %w", err)
	}
	f.changes += 2
	return nil
}

// restart is a clean stop and a start, both on the full disk.
func (f *fullDisk) restart(ctx context.Context, round int) error {
	w := f.w
	began := time.Now()
	if err := w.b.stop(); err != nil {
		return fmt.Errorf("on a full disk: %w", err)
	}
	took := time.Since(began)
	f.stopped = append(f.stopped, took)
	if took > stoppedWithin {
		return fmt.Errorf("chaos: a stop on a full disk took %s\n%s", took, w.b.lastWords())
	}
	if err := f.ballast.fill(); err != nil { // what the stop gave back
		return err
	}
	next := w.t.life(round)
	next.cores = min(next.cores, w.b.last.cores) // more would need more than was put aside
	if err := w.b.start(ctx, next); err != nil {
		return fmt.Errorf("on a full disk: %w", err)
	}
	f.starts = append(f.starts, w.b.starts[len(w.b.starts)-1])
	w.t.detail("round %d: stopped in %s, started in %s, both on the full disk", round,
		took.Round(time.Millisecond), f.starts[len(f.starts)-1].Round(time.Millisecond))
	if err := waitFor(ctx, 20*time.Second, "the group has its member again", func() bool {
		return f.heartbeat(ctx) == nil
	}); err != nil {
		return errors.Join(err, f.w.b.gone())
	}
	if err := w.groups.check(ctx, w.b.addr); err != nil {
		return errors.Join(err, f.w.b.gone())
	}
	_, err := scan(ctx, w.t.h, w.b.addr, fmt.Sprintf("full-start-%d", round),
		[]checker.Place{w.places[w.t.rng.IntN(len(w.places))]}, func(b bounds) int64 { return b.start })
	return err
}
