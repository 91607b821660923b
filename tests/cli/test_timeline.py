"""Does a fit keep its timeline when asked to, and leave no process when it is stopped while both sides work?"""

import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest

from hpcfit.population.ledger import Ledger, same_numbers
from hpcfit.population.timeline import FILE, Overlap, read_timeline

EFEL = ("[strategy]", '[features]\nbackend = "efel"\n\n[strategy]')
BATCHED = ("workers = 2", 'kind = "batched"\nworkers = 2')


def children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            ppid = stat.read_text().rpartition(")")[2].split()[1]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(ppid) == parent:
            found.append(int(stat.parent.name))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_kept_when_asked_for_continued_and_drawn(tiny, hpcfit):
    file, run = tiny(BATCHED, EFEL), Path("run")
    assert hpcfit("fit", file, "--run", "plain", "--generations", 4).code == 0
    assert not Path("plain", FILE).exists()
    refused = hpcfit("timeline", "plain")
    assert refused.code == 2 and "run the fit with --timeline" in refused.err
    assert hpcfit("fit", file, "--run", run, "--timeline").code == 0
    assert {event.generation for event in read_timeline(run)} == {0, 1, 2}
    # The same by the file, which a resumed run may have otherwise.
    other = tiny(BATCHED, EFEL, ("seed = 3", "seed = 3\ntimeline = true"))
    assert hpcfit("fit", other, "--run", run, "--generations", 4).code == 0
    events = read_timeline(run)
    assert {event.generation for event in events} == {0, 1, 2, 3}
    for number in (2, 3):
        one = [event for event in events if event.generation == number]
        assert {(event.who, event.phase) for event in one} >= {
            ("main", "evolve"),
            ("writer", "write"),
            ("simulator", "simulate"),
            ("scorer", "score"),
            ("scorer 0", "score"),
        }
        assert {event.what for event in one} == {"", "step"}
        timings = Ledger.open(run).read(number).timings_s
        sides = Overlap.of(one)
        assert sides.simulate_s == pytest.approx(timings["simulate"], abs=1e-4)
        assert sides.both_s == pytest.approx(timings["score_hidden"], abs=1e-4)
        assert sum(timings[name] for name in ("simulate", "score", "evolve")) <= timings["total"] + 1e-3
    drawn = hpcfit("timeline", run, "--generation", 2)
    assert drawn.code == 0 and "generation 2: simulation" in drawn.out and (run / "report" / "timeline.png").exists()
    wrong = hpcfit("timeline", run, "--generation", 9)
    assert wrong.code == 2 and "no generation 9 in it, it has 0 to 3" in wrong.err
    assert same_numbers(Ledger.open(run), Ledger.open(Path("plain"))) == []


def test_neurons_workers_have_rows_of_their_own(tiny, hpcfit):
    assert hpcfit("fit", tiny(("seed = 3", "seed = 3\ntimeline = true")), "--run", "run").code == 0
    events = read_timeline(Path("run"))
    workers = {event.who for event in events if event.phase == "simulate"}
    assert workers == {"simulator", "simulator 0", "simulator 1"}
    for worker in workers - {"simulator"}:
        mine = sorted((e.began_s, e.ended_s) for e in events if e.who == worker)
        assert all(one[1] <= two[0] + 1e-5 for one, two in pairwise(mine)), "one thing at a time"


def test_a_wrong_value_is_one_line(tiny, hpcfit):
    ended = hpcfit("fit", tiny(("seed = 3", 'seed = 3\ntimeline = "often"')))
    assert ended.code == 2 and "run.timeline" in ended.err and len(ended.err.splitlines()) == 1


SECOND = """\
[[stimuli]]
name = "second"
duration_ms = 50
electrodes = [{ shape = "step", delay_ms = 10, duration_ms = 30, amplitude_nA = 0.3 }]

[targets.second.statistics.soma]
Spikecount = [2, 0.5]
AP_amplitude = [75, 3]
voltage_base = [-66, 1]

[targets.step.statistics.soma]
"""
LONG = [
    ("generations = 3", "generations = 100000"),
    ("offspring = 6", "offspring = 400"),
    ("[targets.step.statistics.soma]\n", SECOND),
]


@pytest.mark.parametrize(
    ("sent", "engine"),
    [(signal.SIGINT, BATCHED), (signal.SIGTERM, ("workers = 2", "workers = 2"))],
    ids=["Ctrl-C, batched", "SIGTERM, neuron"],
)
def test_stopped_while_both_sides_work(tiny, started, sent, engine):
    process, log = started("fit", tiny(EFEL, engine, *LONG), "--run", "run"), Path("run/log.txt")
    ends = time.monotonic() + 60
    while not (log.exists() and log.read_text().count("\n") >= 2):
        assert process.poll() is None and time.monotonic() < ends, process.communicate()
        time.sleep(0.01)
    time.sleep(0.07)
    workers = children(process.pid)
    assert len(workers) >= 3  # at least the one that built the cell, and two scorers
    begun = time.monotonic()
    os.kill(process.pid, sent)
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - begun < 15
    assert process.returncode == 130 and "Traceback" not in err and "Exception" not in err
    assert err.splitlines()[-1] == "hpcfit: interrupted; whole generations are kept, the same command goes on"
    assert not [pid for pid in workers if alive(pid)]
