"""Progress of a running fit: lines that parse back, bars that give the terminal back."""

import io
import os
import pty
import threading
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcfit.population.ledger import Generation
from hpcfit.report.live import Progress, log_line

SHOW, HIDE = "\x1b[?25h", "\x1b[?25l"


def _parse(line):
    stamp, *pairs = line.split(" ")
    datetime.fromisoformat(stamp)
    return {key: float(value) for key, value in (pair.split("=") for pair in pairs)}


@pytest.fixture(scope="module")
def made(make_header, make_generation):
    """Three generations."""
    return [make_generation(number, make_header(2, 3, 1)) for number in range(3)]


finite = st.floats(1e-6, 1e9)


@given(scores=st.lists(finite, min_size=1, max_size=20), best=finite, seconds=finite, failed=st.integers(0, 99))
def test_line_parses_back(scores, best, seconds, failed):
    counts = {"evaluations": len(scores), "diverged": failed, "crashed": 1, "undefined_features": 5}
    made = Generation(7, {"scores": np.array(scores)}, counts, {"simulate": seconds, "total": seconds})
    said = _parse(log_line(made, best))
    assert list(said) == [
        "generation",
        "evaluations",
        "best",
        "median",
        "simulate_s",
        "total_s",
        "failed",
        "undefined",
    ]
    assert said["generation"] == 7 and said["evaluations"] == len(scores)
    assert said["best"] == pytest.approx(best, rel=1e-9)
    assert said["median"] == pytest.approx(np.median(scores), rel=1e-9)
    assert said["simulate_s"] == pytest.approx(seconds, abs=6e-4)
    assert said["failed"] == failed + 1 and said["undefined"] == 5


def test_a_file_gets_one_line_per_generation(made):
    stream = io.StringIO()
    with Progress(2, stream) as progress:
        for number in range(2):
            for done in range(21):
                progress.evaluating(done, 20)
            progress.generation(made[number], 12.5)
    lines = stream.getvalue().splitlines()
    assert [_parse(line)["generation"] for line in lines] == [0, 1]
    assert _parse(lines[0])["best"] == 12.5


def _on_terminal(monkeypatch, act, columns="80", term="xterm-256color"):
    """What `act(progress)` draws on a pseudo-terminal; a reader empties it, as a real one does."""
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", term)
    ours, theirs = pty.openpty()
    seen = []

    def read():
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:
                return
            if not chunk:
                return
            seen.append(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with os.fdopen(theirs, "w") as stream:
            act(stream)
    finally:
        reader.join()
        os.close(ours)
    return b"".join(seen).decode()


@pytest.fixture(scope="module")
def run_two(made):
    """Two of five generations on a stream."""

    def run(stream):
        with Progress(5, stream) as progress:
            progress.evaluating(7, 20)
            progress.evaluating(20, 20)
            progress.generation(made[0], 12.5)
            progress.evaluating(3, 20)
            progress.generation(made[1], 11.25)

    return run


def test_a_terminal_gets_bars(monkeypatch, run_two):
    text = _on_terminal(monkeypatch, run_two)
    for part in ("generations", "individuals", "20/20", "2/5", "best 12.5", "best 11.25", "left", "evaluations per s"):
        assert part in text
    assert text.rindex(SHOW) > text.rindex(HIDE)


@pytest.mark.parametrize("columns", ["1", "5", "12", "30", "300"])
def test_any_width_of_terminal(monkeypatch, run_two, columns):
    text = _on_terminal(monkeypatch, run_two, columns)
    assert text.rindex(SHOW) > text.rindex(HIDE)


def test_dumb_terminals_get_lines(monkeypatch, run_two):
    text = _on_terminal(monkeypatch, run_two, term="dumb")
    assert "\x1b" not in text
    assert [_parse(line)["generation"] for line in text.split("\r\n")[:-1]] == [0, 1]


def test_an_exception_passes_and_gives_the_terminal_back(monkeypatch):
    def act(stream):
        with pytest.raises(KeyboardInterrupt), Progress(5, stream) as progress:
            progress.evaluating(1, 20)
            raise KeyboardInterrupt

    text = _on_terminal(monkeypatch, act)
    assert text.rindex(SHOW) > text.rindex(HIDE)


class _Full(io.StringIO):
    writes = 0

    def write(self, text):
        type(self).writes += 1
        raise BrokenPipeError


def test_a_stream_that_breaks_does_not_end_the_run(made):
    with Progress(5, _Full()) as progress:
        for number in range(3):
            progress.generation(made[number], 1.0)
    assert _Full.writes == 1
    closed = io.StringIO()
    closed.close()
    with Progress(5, closed) as progress:
        progress.generation(made[0], 1.0)


def test_no_thread_draws(monkeypatch):
    def act(stream):
        before = threading.active_count()
        with Progress(5, stream) as progress:
            progress.evaluating(1, 20)
            assert threading.active_count() == before

    _on_terminal(monkeypatch, act)
