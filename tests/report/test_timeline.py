"""Does the picture of a timeline hold its events, and the summary its numbers?"""

import pytest

from hpcfit.errors import LedgerError
from hpcfit.population.timeline import FILE, Event, TimelineFile
from hpcfit.report.plots.gantt import gantt, lanes
from hpcfit.report.timeline import write_timeline


def generation(number, start=0.0, hidden=1.0, workers=2):
    """Two stimuli of 4 s each; 2 s of scoring of which `hidden` lie beside the second one."""
    score = [("low", start + 8.0 - hidden, start + 8.0), ("high", start + 8.0, start + 10.0 - hidden)]
    events = [
        Event(number, "evolve", "main", start, start + 0.01),
        Event(number, "simulate", "simulator", start, start + 4.0, "low"),
        Event(number, "simulate", "simulator", start + 4.0, start + 8.0, "high"),
        *(Event(number, "score", "scorer", began, ended, what) for what, began, ended in score),
        *(Event(number, "score", f"scorer {k}", start + 8, start + 8.5, "high") for k in range(workers)),
    ]
    return events


@pytest.fixture
def folder(tmp_path):
    file = TimelineFile(tmp_path, 0)
    for number, hidden in enumerate((1.0, 1.5, 2.0)):
        file.append(generation(number, 20.0 * number, hidden))
    return tmp_path


def test_a_bar_for_every_event_in_the_row_of_who_worked():
    events = generation(3, 5.0)
    figure = gantt(events)
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == lanes(events) == ["main", "simulator", "scorer", "scorer 0", "scorer 1"]
    drawn = {
        (names[round(bar.get_y() + 0.4)], round(bar.get_x(), 6), round(bar.get_width(), 6)) for bar in axes.patches
    }
    assert drawn == {
        (e.who, round(1e3 * (e.began_s - 5.0), 6), round(1e3 * (e.ended_s - e.began_s), 6)) for e in events
    }
    colours = {event.what: bar.get_facecolor() for event, bar in zip(events, axes.patches, strict=True) if event.what}
    assert colours["low"] != colours["high"]
    assert all(bar.get_facecolor() == colours[e.what] for e, bar in zip(events, axes.patches, strict=True) if e.what)
    assert {"low", "high"} <= {text.get_text() for text in axes.texts}
    assert "both at once 1 s (50 % of the shorter)" in figure.texts[0].get_text()


def test_workers_are_in_the_order_of_their_numbers():
    events = [Event(0, "score", f"scorer {k}", 0, 1, "a") for k in (10, 2, 0)]
    assert lanes([*events, Event(0, "score", "scorer", 0, 1, "a")]) == ["scorer", "scorer 0", "scorer 2", "scorer 10"]


def test_one_moment_alone_and_many_workers_can_be_drawn(tmp_path):
    file = TimelineFile(tmp_path, 0)
    file.append([Event(0, "write", "main", 1.0, 1.0)])
    file.append([Event(1, "score", f"scorer {k}", 0, 1, "a") for k in range(130)])
    for number in (0, 1):
        path, summary = write_timeline(tmp_path, number)
        assert path.read_bytes().startswith(b"\x89PNG") and "nothing was simulated and scored" in summary


def test_the_summary_of_the_last_generation_and_of_one_that_is_asked_for(folder):
    path, summary = write_timeline(folder)
    assert path == folder / "report" / "timeline.png" and path.read_bytes().startswith(b"\x89PNG")
    first, *rows, last = summary.splitlines()
    assert first == ("generation 2: simulation 8 s, scoring 2 s, both at once 2 s: 100 % of the shorter side hidden")
    assert "  simulator: 8 s, 94 % of the time" in rows and "  scorer 1: 0.5 s, 6 % of the time" in rows
    assert last == "median of 3 generations: 75 % hidden"
    _, other = write_timeline(folder, 0)
    assert "both at once 1 s: 50 % of the shorter side hidden" in other.splitlines()[0]


def test_a_generation_that_is_not_there(folder):
    with pytest.raises(LedgerError, match=r"timeline\.jsonl: no generation 7 in it, it has 0 to 2; choose one"):
        write_timeline(folder, 7)
    TimelineFile(folder, 3).append(generation(5))
    with pytest.raises(LedgerError, match="it has 0 to 2, 5;"):
        write_timeline(folder, 3)


@pytest.mark.parametrize("text", [None, "", '{"schema": 1}\n'])
def test_a_run_without_timeline(tmp_path, text):
    if text is not None:
        (tmp_path / FILE).write_text(text)
    with pytest.raises(
        LedgerError, match=r"no timeline\.jsonl with a whole generation .*--timeline.*run.timeline = true"
    ):
        write_timeline(tmp_path)
