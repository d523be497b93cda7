"""What every Python suite shares: the fixture, the comparison, the report lines.

The runner sets BOOTSTRAP, FIXTURE (a JSON file), PREFIX (of all topics and groups),
FOREIGN (prefix of the topics with the fixture, one per codec) and ESSENTIAL (1: only the
essential cases). A suite prints one line per case, tab-separated: CASE, name, PASS or FAIL or
SKIP, detail; and VERSION with the client's version first.
"""

import base64
import json
import os
import sys
import threading
import time
import traceback

BOOTSTRAP = os.environ["BOOTSTRAP"]
FOREIGN = os.environ["FOREIGN"]
PREFIX = os.environ["PREFIX"]
ESSENTIAL = os.environ.get("ESSENTIAL") == "1"


def _bytes(text):
    return None if text is None else base64.b64decode(text)


class Record:
    """One record of the fixture; equality covers everything a client can see."""

    def __init__(self, partition, key, value, headers, timestamp):
        self.partition, self.key, self.value = partition, key, value
        self.headers, self.timestamp = [tuple(h) for h in headers], timestamp

    def seen(self):
        return (self.key, self.value, self.headers, self.timestamp)


def fixture():
    with open(os.environ["FIXTURE"]) as f:
        raw = json.load(f)
    records = [
        Record(r["p"], _bytes(r["k"]), _bytes(r["v"]),
               [(h[0], _bytes(h[1])) for h in r["h"]], r["t"])
        for r in raw["records"]
    ]
    return raw["partitions"], records


def short(x):
    text = repr(x)
    return text if len(text) < 160 else text[:150] + f"... ({len(text)} chars)"


def compare(want, got):
    """want and got are lists of Record; order matters within a partition."""
    for p in sorted({r.partition for r in want} | {r.partition for r in got}):
        w = [r.seen() for r in want if r.partition == p]
        g = [r.seen() for r in got if r.partition == p]
        for i, (a, b) in enumerate(zip(w, g)):
            if a != b:
                raise AssertionError(
                    f"partition {p} record {i}: wrote {short(a)}, read {short(b)}")
        if len(w) != len(g):
            raise AssertionError(f"partition {p}: wrote {len(w)} records, read {len(g)}")


def check(ok, text):
    if not ok:
        raise AssertionError(text)


def equal(got, want, what):
    if got != want:
        raise AssertionError(f"{what}: got {short(got)}, want {short(want)}")


def eventually(what, ok, limit=30.0, step=0.1):
    """Polls until ok() is true; returns its value."""
    end = time.monotonic() + limit
    while True:
        value = ok()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit:.0f} s: {what}")
        time.sleep(step)


class Suite:
    def __init__(self, version):
        print("VERSION\t" + version, flush=True)
        self.failed = 0

    def case(self, name, fn, *args, limit=90, essential=True):
        if ESSENTIAL and not essential:
            return
        result = {}

        def body():
            try:
                fn(*args)
                result["line"] = "PASS\t"
            except BaseException as e:  # a case must never end the suite
                traceback.print_exc()
                text = f"{type(e).__name__}: {e}".replace("\n", " ").replace("\t", " ")
                result["line"] = "FAIL\t" + text[:400]

        t = threading.Thread(target=body, daemon=True)
        start = time.monotonic()
        t.start()
        t.join(limit)
        line = result.get("line") or f"FAIL\tnot done within {limit} s"
        if line.startswith("FAIL"):
            self.failed += 1
        print(f"CASE\t{name}\t{line}", flush=True)
        print(f"{name}: {time.monotonic() - start:.2f} s", file=sys.stderr, flush=True)

    def end(self):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1 if self.failed else 0)  # threads of a stuck client do not hold us


def balance(join, produce, topic, partitions):
    """Two members of one group: the partitions split, one leaves, nothing is lost.

    join(name) returns a Member: poll() -> list of values, assignment() -> set of partitions,
    close(). produce(topic, partition, value) and then produce(None, 0, None) to flush.
    """
    seen, lock, written = set(), threading.Lock(), set()

    class Runner(threading.Thread):
        def __init__(self, name):
            super().__init__(daemon=True)
            self.member = join(name)
            self.stop, self.error = threading.Event(), None
            self.start()

        def run(self):
            try:
                while not self.stop.is_set():
                    values = self.member.poll()
                    with lock:
                        seen.update(values)
                self.member.close()
            except BaseException as e:
                traceback.print_exc()
                self.error = e

        def parts(self):
            if self.error:
                raise self.error
            return set(self.member.assignment())

    def write(round):
        for i in range(50 * partitions):
            value = b"%d-%d" % (round, i)
            produce(topic, i % partitions, value)
            written.add(value)
        produce(None, 0, None)

    everything = set(range(partitions))
    a = Runner("a")
    eventually("the only member owns everything", lambda: a.parts() == everything)
    write(0)
    b = Runner("b")
    eventually("two members share the partitions",
               lambda: a.parts() and b.parts() and a.parts() | b.parts() == everything
               and not a.parts() & b.parts())
    write(1)
    eventually("both rounds are read", lambda: written <= seen)
    b.stop.set()
    b.join(30)
    check(not b.is_alive(), "the leaving member did not close")
    eventually("the one that stays owns everything", lambda: a.parts() == everything)
    write(2)
    eventually("nothing is lost", lambda: written <= seen)
    a.stop.set()
    a.join(30)
    check(not a.is_alive(), "the last member did not close")
